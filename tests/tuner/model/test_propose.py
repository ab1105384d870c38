from __future__ import annotations

import math

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.known import Known
from stablehand_tuner.observe.load import Load
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
SYNC_2 = Settings(WorkerClass.SYNC, 2)


@pytest.fixture
def measured(make_observation):
    """Return 10 s of an app: X per second; S, C and D in milliseconds, as the measurements have them."""

    def make(settings, rate, wall, cpu, delay=0.0, *, clients=64, **changes):
        in_app = rate * wall / 1000
        burnt = rate * cpu / 1000
        fields = {
            "settings": settings,
            "seconds": 10.0,
            "requests": rate * 10.0,
            "busy_seconds_total": in_app * 10,
            "cpu_seconds_total": burnt * 10,
            "run_delay_seconds_total": rate * delay / 100,
            "busiest_worker_cores": burnt / settings.workers,
            "backlog": max(0.0, clients - in_app),
            "peak_demand": max(clients, in_app),
            **changes,
        }
        return make_observation(**fields)

    return make


@pytest.mark.parametrize(
    ("threads", "row"),
    [(4, (194, 39.1, 3.4, 1.3)), (8, (275, 39.1, 3.2, 2.0)), (12, (392, 40.7, 3.3, 3.3))],
)
def test_one_look_at_too_few_threads_finds_what_was_measured_best(measured, threads, row):
    """The mixed app was fastest with 48 to 64 slots, and with 32 still within a quarter of that."""
    current = Settings(WorkerClass.GTHREAD, 2, threads)
    proposal = model.propose(Policy(), measured(current, *row), current)

    assert proposal.reason is Reason.WAITING_DOMINATES
    assert proposal.settings.worker_class is WorkerClass.GTHREAD
    assert proposal.settings.workers == 3, "one more than cores: the demand fills them"
    assert 32 <= proposal.settings.slots <= 64


@pytest.mark.parametrize(
    ("threads", "row"),
    [(1, (232, 8.3, 8.4, 0.3)), (2, (226, 12.3, 8.5, 4.3)), (4, (227, 21.4, 8.7, 17.0)), (8, (216, 26.3, 9.0, 19.8))],
)
def test_a_computing_app_is_seen_through_the_trap(measured, threads, row):
    """However long its requests wait for each other, it is never given more slots."""
    current = Settings(WorkerClass.GTHREAD, 2, threads)
    proposal = model.propose(Policy(), measured(current, *row), current)

    assert proposal.settings == SYNC_2
    assert proposal.reason is Reason.COMPUTE_BOUND


def test_a_waiting_app_on_one_sync_worker_gets_what_its_demand_shows(make_observation):
    proposal = model.propose(Policy(), make_observation(), SYNC_1)

    assert proposal.settings == Settings(WorkerClass.GTHREAD, 2, 48)
    assert proposal.message == (
        "98% of a request is waiting and 64 requests are in flight or wait for a slot: gthread 2 × 48 instead of sync 1"
    )
    assert proposal.evidence["cpu_share"] == pytest.approx(0.015)
    assert proposal.evidence["slots_wanted"] == 96


def test_a_light_load_never_opens_many_slots(make_observation):
    light = make_observation(busy_seconds_total=6.0, backlog=0.0, peak_demand=1.0, requests=60.0)

    assert model.propose(Policy(), light, SYNC_1).settings.slots <= 2


@pytest.mark.parametrize("current", [SYNC_1, Settings(WorkerClass.GTHREAD, 1, 4)])
def test_a_full_process_beside_a_free_core_calls_for_another_process_without_threads(measured, current):
    in_flight = current.slots
    proposal = model.propose(Policy(), measured(current, 49.0, in_flight / 49.0 * 1000, 20.0), current)

    assert proposal.settings == SYNC_2


def test_a_full_process_of_a_waiting_app_gets_company_in_its_own_class(measured):
    current = Settings(WorkerClass.GTHREAD, 1, 64)
    proposal = model.propose(Policy(), measured(current, 600, 60, 1.6, clients=36), current)

    assert proposal.reason is Reason.MORE_PROCESSES
    assert proposal.settings == Settings(WorkerClass.GTHREAD, 2, 32)


@pytest.mark.parametrize("current", [Settings(WorkerClass.GTHREAD, 2, 8), Settings(WorkerClass.GTHREAD, 2, 32)])
@pytest.mark.parametrize(
    "changes", [{"busiest_worker_cores": 0.86}, {"cpu_seconds_total": 18.1}, {"throttled_seconds_total": 3.0}]
)
def test_saturated_cores_never_get_more_concurrency(measured, current, changes):
    proposal = model.propose(Policy(), measured(current, 400, 40, 3.0, **changes), current)

    assert proposal.settings.slots <= current.slots
    assert "more concurrency would only add waiting" in proposal.message


def test_slots_beyond_what_threads_serve_go_to_an_event_loop(make_observation):
    crowd = make_observation(backlog=299.0, peak_demand=300.0)
    proposal = model.propose(Policy(), crowd, SYNC_1)

    assert proposal.settings.worker_class is WorkerClass.GEVENT
    assert proposal.settings.slots >= 300 / 1.5


@pytest.mark.parametrize(
    ("policy", "changes", "banned"),
    [
        ({}, {"available_classes": frozenset({"sync", "gthread"})}, ()),
        ({}, {"available_classes": frozenset()}, ()),
        ({}, {"blocking_modules": frozenset({"grpc._cython"})}, ()),
        ({"workerClasses": ["sync", "gthread"]}, {}, ()),
        ({}, {}, (WorkerClass.GEVENT,)),
    ],
    ids=["not there", "not said", "blocked", "not allowed", "banned"],
)
def test_gevent_is_no_candidate_where_it_cannot_work(make_observation, policy, changes, banned):
    crowd = make_observation(backlog=299.0, peak_demand=300.0, **changes)
    proposal = model.propose(Policy.from_mapping(policy), crowd, SYNC_1, Known(frozenset(banned)))

    assert proposal.settings.worker_class is WorkerClass.GTHREAD


def test_without_threads_and_event_loop_a_waiting_app_gets_processes(make_observation):
    policy = Policy.from_mapping({"workerClasses": ["sync"]})

    assert model.propose(policy, make_observation(), SYNC_1).settings == Settings(WorkerClass.SYNC, 8)


def test_where_memory_holds_none_of_an_event_loops_requests_a_waiting_app_gets_processes(make_observation):
    policy = Policy.from_mapping({"workerClasses": ["sync", "gevent"]})
    large = make_observation(worker_memory_bytes=140e6, worker_memory_bytes_mean=140e6, memory_limit_bytes=940e6)

    assert model.propose(policy, large, SYNC_1).settings == Settings(WorkerClass.SYNC, 4)


def test_an_app_on_an_event_loop_stays_there_while_it_has_use_for_it(make_observation):
    current = Settings(WorkerClass.GEVENT, 2, 1, 100)
    seen = make_observation(
        settings=current, busy_seconds_total=15.0 * 40, requests=6000.0, cpu_seconds_total=9.0, backlog=0.0
    )

    assert model.propose(Policy(), seen, current).settings.worker_class is WorkerClass.GEVENT


def test_an_event_loop_has_room_for_connections_that_idle(make_observation):
    crowd = make_observation(backlog=299.0, peak_demand=300.0, connections=800.0, memory_limit_bytes=4e9)
    proposal = model.propose(Policy(), crowd, SYNC_1)

    assert proposal.settings.worker_connections == 500


def test_a_half_computing_app_gets_processes_where_memory_is_known_else_threads(measured):
    known = measured(SYNC_1, 25, 40, 22)
    unknown = measured(SYNC_1, 25, 40, 22, memory_limit_bytes=None)

    assert model.propose(Policy(), known, SYNC_1).settings == Settings(WorkerClass.SYNC, 6)
    assert model.propose(Policy(), unknown, SYNC_1).settings == Settings(WorkerClass.GTHREAD, 2, 3)


def test_bounds_that_stop_growth_are_named(make_observation):
    policy = Policy.from_mapping({"workers": {"max": 2}, "threads": {"max": 8}, "workerClasses": ["gthread"]})
    current = Settings(WorkerClass.GTHREAD, 2, 8)
    full = make_observation(settings=current, busy_seconds_total=15.0 * 16, requests=2400.0, cpu_seconds_total=3.6)
    proposal = model.propose(policy, full, current)

    assert (proposal.settings, proposal.reason) == (current, Reason.AT_BOUND)
    assert "allow no more than gthread 2 × 8" in proposal.message


def test_time_stolen_from_the_machine_does_not_move_one_process_per_core(measured):
    proposal = model.propose(Policy(), measured(SYNC_2, 70, 28, 20), SYNC_2)

    assert (proposal.settings, proposal.reason) == (SYNC_2, Reason.WELL_TUNED)


def test_several_pods_are_judged_by_their_mean(make_observation):
    one = model.propose(Policy(), make_observation(), SYNC_1)
    three = make_observation(
        pods=3.0,
        requests=450.0,
        busy_seconds_total=45.0,
        cpu_seconds_total=0.675,
        backlog=189.0,
        peak_demand=192.0,
        cores=6.0,
        slots=3.0,
    )

    assert model.propose(Policy(), three, SYNC_1).settings == one.settings


def test_a_fraction_of_a_core_is_one_process(make_observation):
    assert Load.of(make_observation(cores=0.5), SYNC_1).whole_cores == 1
    assert Load.of(make_observation(cores=1.5), SYNC_1).whole_cores == 2
    assert Load.of(make_observation(cores=2.001), SYNC_1).whole_cores == 2


def test_without_requests_there_is_nothing_to_propose(make_observation):
    idle = make_observation(requests=0.0, duration_buckets=((math.inf, 0.0),))

    with pytest.raises(ValueError, match="without requests"):
        model.propose(Policy(), idle, SYNC_1)


GEVENT_2 = Settings(WorkerClass.GEVENT, 2, worker_connections=48)


@pytest.mark.parametrize(
    ("current", "row"),
    [
        (SYNC_2, (4000, 0.4, 0.4)),
        (Settings(WorkerClass.GTHREAD, 2, 14), (1750, 15.0, 1.0)),
        (Settings(WorkerClass.GTHREAD, 3, 22), (690, 80.0, 2.8)),
    ],
    ids=["smallest", "with a wait", "threads that mostly wait"],
)
def test_an_event_loop_may_serve_what_keeps_the_cores_busy_for_less(measured, current, row):
    proposal = model.propose(Policy(), measured(current, *row, delay=0.5), current)

    assert proposal.reason is Reason.EVENT_LOOP
    assert proposal.settings.worker_class is WorkerClass.GEVENT
    assert proposal.settings.workers == 2
    assert proposal.settings.worker_connections >= 32


@pytest.mark.parametrize(
    ("current", "row", "changes"),
    [
        (SYNC_2, (400, 4.5, 4.5), {}),
        (SYNC_2, (2000, 0.4, 0.4), {}),
        (SYNC_2, (4000, 0.4, 0.4), {"clients": 4}),
        (SYNC_2, (4000, 0.4, 0.4), {"blocking_modules": frozenset({"grpc"})}),
        (Settings(WorkerClass.GTHREAD, 3, 4), (690, 10.0, 2.8), {"clients": 12}),
    ],
    ids=["costly", "cores to spare", "no queue", "a module that blocks", "threads that compute"],
)
def test_otherwise_no_event_loop_is_tried_for_what_keeps_the_cores_busy(measured, current, row, changes):
    assert model.propose(Policy(), measured(current, *row, **changes), current).settings == current


def test_cores_that_others_use_as_well_are_busy_when_the_workers_wait_for_them(measured):
    """Of two cores 1.3 are left, and who sends the requests has the rest: the workers want more than they get."""
    shared = (12_500, 0.15, 0.104)
    assert model.propose(Policy(), measured(SYNC_2, *shared, delay=0.04), SYNC_2).settings.worker_class == "gevent"
    assert model.propose(Policy(), measured(SYNC_2, *shared, delay=0.005), SYNC_2).settings == SYNC_2


def test_an_event_loop_that_has_been_banned_is_not_tried_for_cheap_requests(measured):
    seen = measured(SYNC_2, 4000, 0.4, 0.4)
    assert model.propose(Policy(), seen, SYNC_2, Known(frozenset({WorkerClass.GEVENT}))).settings == SYNC_2


def test_an_event_loop_stays_with_cheap_requests_and_leaves_costly_ones(measured):
    cheap, costly = measured(GEVENT_2, 4700, 13.0, 0.4), measured(GEVENT_2, 180, 350.0, 10.5)

    assert model.propose(Policy(), cheap, GEVENT_2).settings == GEVENT_2
    assert model.propose(Policy(), costly, GEVENT_2).settings.worker_class is not WorkerClass.GEVENT


def test_an_app_with_threads_of_its_own_on_all_cores_keeps_its_one_process(make_observation):
    seen = make_observation(cpu_seconds_total=28.5, busiest_worker_cores=1.9)
    proposal = model.propose(Policy(), seen, Settings(WorkerClass.SYNC, 1))

    assert proposal.settings == Settings(WorkerClass.SYNC, 1)


@pytest.mark.parametrize(
    ("current", "in_app", "most"),
    [(Settings(WorkerClass.SYNC, 1), 1.0, 4), (Settings(WorkerClass.GTHREAD, 2, 4), 8.0, 8)],
)
def test_work_that_is_done_by_child_processes_calls_for_two_slots_a_core_and_no_more_than_there_are(
    make_observation, current, in_app, most
):
    children = min(1.9, 0.95 * in_app)
    seen = make_observation(
        settings=current,
        busy_seconds_total=15.0 * in_app,
        cpu_seconds_total=15.0 * (children + 0.05),
        children_cpu_seconds_total=15.0 * children,
    )
    assert model.propose(Policy(), seen, current).settings.slots <= most
    unseen = make_observation(
        settings=current, busy_seconds_total=15.0 * in_app, cpu_seconds_total=0.75, requests=seen.requests
    )
    assert model.propose(Policy(), unseen, current).settings.slots > most, "it would seem to wait"
