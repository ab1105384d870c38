"""Apps with a limit that no counter shows: what the simulator makes of them, and where the tuner comes to rest."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablehand_simulator import App, Cluster, Machine, grid, steady
from stablehand_simulator import run as runs
from stablehand_simulator.workload import LoadPhase, Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.observation import observe

SYNC, GTHREAD = WorkerClass.SYNC, WorkerClass.GTHREAD
SYNC_1 = Settings(SYNC, 1)
# measured on a real server: see the table in docs/tuner.md
DATABASE = App(compute=0.0012, wait=0.02, pod_connections=20, refused_seconds=0.02)
LOCK = App(compute=0.0004, wait=0.02, process_connections=1)
POOL = App(compute=0.0008, wait=0.05, process_connections=15)


def by_events(app, running):
    cluster = Cluster(app, running, clients=64)
    cluster.run_until(2.0)
    before = cluster.servers[0].snapshot()
    cluster.run_until(10.0)
    return observe(before, cluster.servers[0].snapshot())


@pytest.mark.parametrize(
    ("app", "running"),
    [
        (DATABASE, Settings(GTHREAD, 2, 8)),
        (DATABASE, Settings(GTHREAD, 2, 11)),
        (LOCK, Settings(GTHREAD, 1, 1)),
        (LOCK, Settings(GTHREAD, 2, 16)),
        (LOCK, Settings(GTHREAD, 4, 1)),
        (POOL, Settings(GTHREAD, 1, 32)),
        (POOL, Settings(GTHREAD, 2, 8)),
    ],
    ids=str,
)
def test_formulas_agree_with_events_on_what_is_limited(app, running):
    events, formula = by_events(app, running), steady.closed(app, running, Machine(), 64)

    assert formula.throughput == pytest.approx(events.requests_per_second, rel=0.03)
    assert formula.inside_seconds == pytest.approx(events.mean_seconds, rel=0.05)
    assert formula.errors == pytest.approx(events.error_share, abs=0.02)


def test_far_beyond_its_limit_a_database_refuses_a_third_of_the_requests():
    beyond = Settings(GTHREAD, 2, 16)

    assert 0.2 < by_events(DATABASE, beyond).error_share < 0.4
    assert 0.2 < steady.closed(DATABASE, beyond, Machine(), 64).errors < 0.4


def test_an_open_load_that_needs_few_connections_is_not_refused_and_one_that_needs_all_is():
    threads = Settings(GTHREAD, 2, 32)

    assert steady.opened(DATABASE, threads, Machine(), 300).errors < 0.0005
    assert 0.05 < steady.opened(DATABASE, threads, Machine(), 900).errors < 0.2


def test_what_is_limited_in_two_places_is_not_modelled():
    with pytest.raises(ValueError, match="either"):
        dataclasses.replace(LOCK, pod_connections=20)


@dataclasses.dataclass
class Tuned:
    """How a workload was tuned: the run, what is served in the end, what failed on the way, the slots of each step."""

    made: runs.Run
    end: grid.Performance
    failed: float
    slots: list[int]


def tuned(workload, seconds=180.0):
    failed, slots = [0.0], [workload.start.slots]

    def watch(each):
        if each.seen is not None:
            failed.append(each.seen.errors)
        if each.settings is not None and each.settings.slots != slots[-1]:
            slots.append(each.settings.slots)

    made = runs.tune(workload, seconds, watch=watch)
    return Tuned(made, grid.performance(workload, made.settings), sum(failed), slots)


APPS = {"database": DATABASE, "lock": LOCK, "pool": POOL}


@functools.cache
def best_harmless(name):
    return grid.best_harmless(Workload(APPS[name], SYNC_1, clients=64))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("start", [SYNC_1, Settings(SYNC, 4), Settings(GTHREAD, 2, 4)], ids=str)
@pytest.mark.parametrize("name", APPS)
def test_the_tuner_comes_to_rest_near_the_best_settings_that_do_no_harm(name, start, seed):
    done = tuned(Workload(APPS[name], start, clients=64, seed=seed))

    assert done.end.goodput >= 0.95 * best_harmless(name).goodput, done.made.settings
    assert done.end.errors <= 0.0005
    assert len(done.made.changes) <= 2, "a climb, and an event loop instead of as many threads"
    assert all(after <= 2 * before for before, after in itertools.pairwise(done.slots)), done.slots


@pytest.mark.parametrize("app", [LOCK, POOL], ids=["lock", "pool"])
def test_where_more_slots_do_no_harm_no_request_fails(app):
    assert tuned(Workload(app, SYNC_1, clients=64)).failed == 0


def test_a_limit_is_touched_for_seconds():
    done = tuned(Workload(DATABASE, SYNC_1, clients=64))
    touched = [each.at for each in done.made.rounds if each.seen is not None and each.seen.errors]

    assert done.failed > 0
    assert max(touched) - min(touched) <= 20


@pytest.mark.parametrize("limit", [12, 20, 33])
@pytest.mark.parametrize("start", [SYNC_1, Settings(GTHREAD, 2, 4)], ids=str)
def test_a_server_that_guards_the_steps_fails_few_requests_until_the_limit_is_known(limit, start):
    workload = Workload(dataclasses.replace(DATABASE, pod_connections=limit), start, clients=64)
    seen = []
    made = runs.tune(workload, 120.0, canaries=False, watch=lambda each: seen.append(each.seen))
    failed, requests = (sum(getattr(each, name) for each in seen if each) for name in ("errors", "requests"))

    assert 0 < failed <= 0.002 * requests
    end, best = grid.performance(workload, made.settings), grid.best_harmless(workload)
    assert end.errors <= 0.0005
    assert end.goodput >= 0.88 * best.goodput, "a multiple of the processes is not always near the limit"


@pytest.mark.parametrize("share", [0.02, 1.0])
@pytest.mark.parametrize("canaries", [True, False])
def test_a_class_that_fails_exposes_one_worker_and_is_tried_once(share, canaries):
    fails = App(compute=0.001, wait=0.05, error_share={GTHREAD: share})
    workload = Workload(fails, Settings(SYNC, 2), clients=64)
    failed, tried = [], []

    def watch(each):
        failed.append(each.seen.errors if each.seen else 0.0)
        if each.began is not None:
            tried.append(each.began.worker_class)

    made = runs.tune(workload, 600.0, canaries=canaries, watch=watch)

    assert 0 < sum(failed) < 50
    assert tried.count(GTHREAD) == 1
    assert made.settings.worker_class is WorkerClass.GEVENT


def test_with_every_request_simulated_it_ends_the_same():
    made = runs.tune(Workload(DATABASE, SYNC_1, clients=64), 60, exact=True)

    assert 16 <= made.settings.slots <= 20


def test_a_ceiling_that_is_known_is_not_touched_again():
    done = tuned(Workload(DATABASE, SYNC_1, clients=64), 900.0)
    later = [each for each in done.made.rounds if each.at > 120 and each.seen is not None]

    assert sum(each.seen.errors for each in later) == 0
    assert len(done.made.changes) == 1


def test_a_ceiling_is_tried_again_after_an_hour_and_a_limit_that_is_gone_is_noticed():
    gone = dataclasses.replace(DATABASE, pod_connections=1e6)
    workload = Workload(DATABASE, SYNC_1, clients=64, phases=(LoadPhase(1200.0, app=gone),))
    made = runs.tune(workload, 5400.0)
    at = [each.at for each in made.rounds if each.settings is not None and each.settings.slots > 20]

    assert made.settings.slots > 40
    assert min(each for each in at if each > 120) > 3600


STARTS = st.sampled_from([SYNC_1, Settings(SYNC, 4), Settings(GTHREAD, 2, 4)])


@settings(max_examples=30, deadline=None)
@given(
    limit=st.integers(10, 60),
    start=STARTS,
    wait=st.floats(0.01, 0.2),
    clients=st.integers(16, 128),
    pods=st.integers(1, 3),
)
def test_whatever_the_limit_of_a_pod_what_stays_does_no_harm_and_serves_no_less(limit, start, wait, clients, pods):
    app = App(compute=0.0012, wait=wait, pod_connections=limit, refused_seconds=0.02)
    workload = Workload(app, start, clients=clients * pods, pods=pods)
    done = tuned(workload, 300.0)

    assert done.end.errors <= 0.002
    assert done.end.goodput >= 0.95 * grid.performance(workload, start).goodput
    assert len(done.made.changes) <= 4


@settings(max_examples=30, deadline=None)
@given(connections=st.integers(1, 20), start=STARTS, wait=st.floats(0.01, 0.2), clients=st.integers(32, 80))
def test_whatever_pool_a_process_has_more_of_them_serve_most_of_what_could_be(connections, start, wait, clients):
    app = App(compute=0.0008, wait=wait, process_connections=connections)
    workload = Workload(app, start, clients=clients)
    done = tuned(workload, 300.0)

    assert done.failed == 0
    # a knee in the middle of a step, which still gains a fifth, does not ask for processes
    assert done.end.goodput >= 0.5 * grid.performance(workload, Settings(GTHREAD, 8, 16)).goodput
