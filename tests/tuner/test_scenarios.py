"""The named apps on the simulator: the whole path from samples to settings, with the state stored at every step."""

from __future__ import annotations

import pytest

from stablehand_simulator import App, Machine
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
SYNC_2 = Settings(WorkerClass.SYNC, 2)
# slow requests, so that there are few to simulate
IO_BOUND = App(compute=0.005, wait=0.5)
CPU_BOUND = App(compute=0.02)
MIXED = App(compute=0.0084, wait=0.111)
NO_EVENT_LOOP = {"workerClasses": ["sync", "gthread"]}
HELLO = App(compute=0.0006, thread_overhead=0.0006)


@pytest.mark.parametrize("start", [SYNC_1, Settings(WorkerClass.SYNC, 4), Settings(WorkerClass.GTHREAD, 1, 4)], ids=str)
def test_an_io_bound_app_settles_within_two_minutes_on_enough_threads(bench, start):
    """5 ms of computing, 500 ms of waiting, 64 clients, 2 cores."""
    run = bench(IO_BOUND, start, clients=64, policy=NO_EVENT_LOOP).run(120)

    assert len(run.changes) <= 2
    assert run.settings.worker_class is WorkerClass.GTHREAD
    assert run.settings.workers == max(2, start.workers), "a climb takes no processes away"
    assert 64 <= run.settings.slots <= 128
    assert run.requests_per_second > 115
    assert sum(each.errors for each in run.last) == 0


def test_an_io_bound_app_serves_at_least_ten_times_of_its_start(bench):
    run = bench(IO_BOUND, SYNC_1, clients=64).run(20)
    before = run.requests_per_second
    run.run(60)

    assert run.requests_per_second >= 10 * before


def test_many_waiting_threads_try_an_event_loop_once_and_go_back_for_good_when_it_gains_nothing(bench):
    run = bench(IO_BOUND, SYNC_1, clients=64).run(240)

    assert [each.worker_class.value for each in run.changes] == ["gthread", "gevent", "gthread"]
    assert run.state.known.banned == {WorkerClass.GEVENT: Reason.TRIAL_NO_GAIN}
    assert run.reasons[-2:] == [Reason.EVENT_LOOP, Reason.TRIAL_NO_GAIN]


def test_an_event_loop_that_serves_with_less_than_many_threads_stays(bench):
    convoy = App(compute=0.01, wait=0.5, thread_overhead=0.001)
    run = bench(convoy, Settings(WorkerClass.GTHREAD, 2, 48), clients=64).run(300)

    assert run.settings.worker_class is WorkerClass.GEVENT
    assert len(run.changes) == 1


def test_a_settled_io_bound_app_stays_as_it_is(bench):
    run = bench(App(compute=0.01, wait=1.0), SYNC_1, clients=64, policy=NO_EVENT_LOOP).run(900)

    assert len(run.changes) == 1
    assert run.decisions[-1][1].reason is Reason.WELL_TUNED


@pytest.mark.parametrize(
    "start",
    [SYNC_1, SYNC_2, Settings(WorkerClass.GTHREAD, 1, 4), Settings(WorkerClass.GTHREAD, 2, 4)],
    ids=str,
)
def test_a_cpu_bound_app_ends_at_one_process_per_core_and_stays(bench, start):
    """20 ms of computing, 2 cores, for ten minutes."""
    run = bench(CPU_BOUND, start, clients=64).run(600)

    assert run.settings == SYNC_2
    assert len(run.changes) <= 1
    assert run.decisions[-1][1].reason is Reason.SATURATED


@pytest.mark.parametrize("start", [SYNC_1, SYNC_2, Settings(WorkerClass.GTHREAD, 1, 4)], ids=str)
def test_hello_world_under_light_load_stays_as_it_is(bench, start):
    run = bench(HELLO, start, rate=30).run(300)

    assert run.changes == []


def test_hello_world_under_heavy_load_gets_processes_and_no_threads(bench):
    run = bench(HELLO, SYNC_1, clients=16).run(45)

    assert run.changes == [SYNC_2]


def test_a_mixed_app_reaches_what_its_cores_give(bench):
    run = bench(MIXED, Settings(WorkerClass.GTHREAD, 2, 4), clients=64).run(180)

    assert len(run.changes) <= 3, "more slots, an event loop, and back if it gains nothing"
    assert run.settings.worker_class is WorkerClass.GTHREAD
    assert run.requests_per_second > 0.9 * 2 / MIXED.compute


def test_a_crowd_of_waiting_clients_gets_an_event_loop(bench):
    run = bench(App(compute=0.001, wait=0.5), SYNC_1, clients=300).run(90)

    assert run.settings.worker_class is WorkerClass.GEVENT
    assert run.requests_per_second > 500


def test_an_event_loop_that_the_app_blocks_is_rolled_back_and_never_tried_again(bench):
    blocking = App(compute=0.001, wait=0.5, blocks_event_loop=True)
    run = bench(blocking, SYNC_1, clients=300).run(240)
    classes = [each.worker_class for each in run.changes]

    assert run.reasons[:2] == [Reason.BACKLOG, Reason.TRIAL_LAG]
    assert classes.count(WorkerClass.GEVENT) == 1
    assert run.settings.worker_class is WorkerClass.GTHREAD
    assert run.requests_per_second > 300


def test_an_app_that_threads_break_goes_back_and_on_to_processes(bench):
    unsafe = App(compute=0.001, wait=0.1, error_share={WorkerClass.GTHREAD: 0.1})
    run = bench(unsafe, SYNC_1, clients=64, policy={"workerClasses": ["sync", "gthread"]}).run(300)
    classes = [each.worker_class for each in run.changes]

    assert Reason.TRIAL_ERRORS in run.reasons
    assert classes.count(WorkerClass.GTHREAD) == 1
    assert run.settings == Settings(WorkerClass.SYNC, 8)


def test_settings_that_the_server_refuses_are_sent_once(bench):
    stubborn = Machine(refuses=lambda settings: settings != SYNC_1)
    run = bench(IO_BOUND, SYNC_1, clients=64, machine=stubborn, policy={"workerClasses": ["sync", "gthread"]}).run(900)
    sent = [each for each in run.changes if each != SYNC_1]

    assert run.settings == SYNC_1
    assert len(sent) == len(set(sent)) <= 5
    assert all(pod.rejected == len(sent) for pod in run.pods)


def test_mode_recommend_advises_and_touches_nothing(bench):
    run = bench(IO_BOUND, SYNC_1, clients=64, policy={"mode": "Recommend"}).run(120)

    assert run.settings == SYNC_1
    assert run.changes == []
    assert run.state.recommended.worker_class is WorkerClass.GTHREAD


def test_three_pods_settle_together(bench):
    run = bench(IO_BOUND, SYNC_1, pods=3, clients=24).run(120)

    assert len(run.changes) <= 2
    assert {pod.active for pod in run.pods} == {run.settings}
    assert run.settings.slots >= 24


def test_a_good_canary_is_promoted_to_four_pods(bench):
    run = bench(IO_BOUND, Settings(WorkerClass.GTHREAD, 1, 4), pods=4, clients=12, policy=NO_EVENT_LOOP, canaries=True)
    run.run(180)

    assert run.reasons[0] == Reason.WAITING_DOMINATES
    assert Reason.CANARY_PASSED in run.reasons
    assert {pod.active for pod in run.pods} == {run.settings}
    assert run.settings.slots >= 12
    assert len(run.changes) == 1


def test_a_canary_whose_greenlets_err_exposes_its_own_pod_alone(bench):
    unsafe = App(compute=0.005, wait=0.5, error_share={WorkerClass.GEVENT: 0.2})
    run = bench(unsafe, SYNC_2, pods=4, clients=150, canaries=True).run(200)
    exposed = [any(each.errors for each in pod.snapshot().workers.values()) for pod in run.pods]

    assert run.state.known.banned == {WorkerClass.GEVENT: Reason.TRIAL_ERRORS}
    assert sum(exposed) == 1
    assert {pod.active.worker_class for pod in run.pods} == {WorkerClass.GTHREAD}


def test_a_pod_that_cannot_be_scraped_stops_every_change(bench):
    run = bench(IO_BOUND, SYNC_1, pods=2, clients=64).run(120, missing=[1])

    assert run.changes == []


def test_demand_that_rises_is_followed_and_demand_that_falls_is_followed_late(bench):
    app = App(compute=0.005, wait=0.5)
    run = bench(app, Settings(WorkerClass.GTHREAD, 1, 4), clients=4, policy=NO_EVENT_LOOP).run(120)
    few = run.settings.slots
    for pod in run.pods:
        pod.set_clients(60)
    run.run(120)
    many = run.settings.slots
    for pod in run.pods:
        pod.set_clients(4)
    run.run(500)

    assert few <= 12
    assert many >= 50
    assert run.settings.slots == many, "demand has not been low for long enough"
    run.run(400)
    assert run.settings.slots <= 12


def test_demand_that_comes_and_goes_makes_no_oscillation(bench):
    run = bench(App(compute=0.005, wait=0.5), Settings(WorkerClass.GTHREAD, 1, 4), clients=4)
    for _ in range(6):
        for clients in (60, 4):
            for pod in run.pods:
                pod.set_clients(clients)
            run.run(90)

    assert len(run.changes) <= 3


def test_an_app_that_turns_from_computing_to_waiting_and_back_is_followed_each_time(bench):
    waiting = App(compute=0.005, wait=0.5)
    run = bench(CPU_BOUND, SYNC_1, clients=32, policy=NO_EVENT_LOOP)
    ended = []
    for turn in range(5):
        for pod in run.pods:
            pod.set_app(waiting if turn % 2 else CPU_BOUND)
        ended.append(run.run(180).settings)

    assert ended[0] == ended[2] == ended[4] == SYNC_2
    assert min(ended[1].slots, ended[3].slots) >= 32
    assert {ended[1].worker_class, ended[3].worker_class} == {WorkerClass.GTHREAD}
    assert len(run.changes) <= 8
    assert run.state.history.reversals <= 1, "to follow is no going back and forth"


def test_memory_ends_the_growth_of_processes(bench):
    heavy = App(compute=0.02, process_bytes=200e6)
    run = bench(heavy, SYNC_1, clients=64, machine=Machine(cores=8.0, memory_limit=1e9)).run(300)

    assert run.settings == Settings(WorkerClass.SYNC, 3)
