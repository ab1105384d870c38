"""Defects of the tuner that random workloads have found and that are fixed."""

from __future__ import annotations

from stablehand_simulator import App, Machine, survey
from stablehand_simulator import run as runs
from stablehand_simulator.workload import LoadPhase, Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.policy import Policy

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT


def test_a_canary_of_slow_requests_that_is_clearly_better_is_promoted():
    """Siblings answer so rarely that its 100 requests never come, while each takes a hundredth of theirs."""
    assert survey.measure(134).of_best > 0.5


def test_an_event_loop_that_the_app_has_blocked_from_the_start_is_left():
    app = App(compute=0.001, wait=0.1, blocks_event_loop=True)
    made = survey.measure_workload(Workload(app, Settings(GEVENT, 2), clients=64), 300)

    assert made.end.settings.worker_class is GTHREAD
    assert made.of_best > 0.8


def test_threads_in_one_process_that_computes_become_as_many_processes_as_cores():
    """As many slots in more processes are no small change: they serve four times as much."""
    assert survey.measure(297, 300).of_best > 0.6


def test_an_app_whose_requests_memory_is_not_known_yet_still_gets_threads():
    """Workers with one slot never show what a second request holds."""
    assert survey.measure(209).of_best > 0.5


def test_settings_that_ran_out_of_memory_are_not_tried_again():
    assert survey.measure(1183).oom_exits <= 3


def test_a_lightly_loaded_app_keeps_its_spare_processes():
    """One process for one core of computing at 65 % makes requests stand in line that found a free process before."""
    assert survey.measure(980).p99_of_start < 1.5


def test_threads_are_given_back_when_a_waiting_app_begins_to_compute():
    workload = Workload(
        App(compute=0.001, wait=0.08),
        Settings(SYNC, 2),
        machine=Machine(cores=2.0),
        clients=48,
        policy=Policy.from_mapping({"workerClasses": ["sync", "gthread"]}),
        phases=(LoadPhase(180, app=App(compute=0.02)),),
    )
    made = runs.tune(workload, 480)

    assert made.settings is not None
    assert made.settings.slots <= 8


def test_an_event_loop_that_fills_its_core_is_not_given_more_connections_step_by_step():
    """Each step passes its trial, because nothing changes; a queue in the kernel lets each begin without a window."""
    assert survey.measure(1788).begun <= 5


def test_an_app_with_little_memory_to_spare_is_given_a_second_slot_to_learn_from():
    """There is no room for what a second request might hold beside a second process, but there is in the first."""
    assert survey.measure(400).of_best > 0.9


def test_fewer_processes_hold_the_slots_where_memory_is_short():
    assert survey.measure(1255).of_best > 0.9


def test_a_loss_of_throughput_while_requests_wait_for_a_slot_is_no_lack_of_demand():
    assert survey.measure(1402).of_start > 0.9
