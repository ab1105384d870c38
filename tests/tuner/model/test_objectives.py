"""The same load, and what each objective makes of it."""

from __future__ import annotations

import pytest

from stablehand_simulator import App
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.evidence.trial import conclude
from stablehand_tuner.lifecycle import gate
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.proposal import Proposal
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
GTHREAD = Settings(WorkerClass.GTHREAD, 4, 8)


def policy(objective, **more):
    return Policy.from_mapping({"objective": objective, **more})


def proposed(objective, seen, current=SYNC_1):
    return model.propose(policy(objective), seen, current).settings


def test_a_waiting_app_gets_most_headroom_for_latency_and_fewest_processes_for_cost(make_observation):
    seen = make_observation(peak_demand=20.0, backlog=19.0)

    assert proposed("latency", seen) == Settings(WorkerClass.GTHREAD, 2, 20)
    assert proposed("throughput", seen) == Settings(WorkerClass.GTHREAD, 2, 15)
    assert proposed("cost", seen) == Settings(WorkerClass.GTHREAD, 1, 25)


def test_half_computing_gets_processes_for_latency_and_threads_for_cost(make_observation):
    seen = make_observation(requests=375.0, cpu_seconds_total=6.75, busiest_worker_cores=0.45, backlog=63.0)

    assert proposed("latency", seen).worker_class is WorkerClass.SYNC
    assert proposed("throughput", seen).worker_class is WorkerClass.GTHREAD
    assert proposed("cost", seen).workers <= proposed("throughput", seen).workers


def test_a_computing_app_under_a_light_load_keeps_one_process_for_cost_and_one_for_each_core_otherwise(
    make_observation,
):
    current = Settings(WorkerClass.SYNC, 2)
    light = make_observation(
        settings=current,
        requests=150.0,
        cpu_seconds_total=7.4,
        busy_seconds_total=7.5,
        backlog=0.0,
        busiest_worker_cores=0.25,
        peak_demand=2.0,
    )

    assert proposed("cost", light, current) == SYNC_1
    assert proposed("throughput", light, current) == current


def judge(workers, window, now, low_demand=None):
    """Return what the gate decides about a number of processes, when the objective is cost."""
    wanted = Settings(WorkerClass.GTHREAD, workers, 32 // workers)
    proposal = Proposal(wanted, Reason.WAITING_DOMINATES, "because", {})
    watching = Watching(GTHREAD, low_demand=low_demand)
    situation = gate.Situation(policy("cost"), TunerState(watching), watching, window, GTHREAD, now)
    return gate.judge(situation, proposal)


def test_processes_that_are_not_needed_go_for_cost_after_a_long_time_and_by_the_most_that_were_needed(
    make_observation,
):
    window = make_observation(busy_seconds_total=15.0, backlog=0.0)

    first = judge(1, window, 1000.0)
    second = judge(2, window, 1300.0, first.low_demand)
    third = judge(1, window, 1600.0, second.low_demand)

    assert [first.reason, second.reason] == [Reason.SHRINK_WAITING] * 2
    assert (third.reason, third.settings) == (Reason.FEWER_PROCESSES, Settings(WorkerClass.GTHREAD, 2, 16))


def test_no_process_goes_while_requests_wait(make_observation):
    assert judge(1, make_observation(), 1000.0).reason is Reason.WELL_TUNED


@pytest.mark.parametrize(
    ("objective", "reason"),
    [("latency", Reason.TRIAL_LATENCY), ("throughput", Reason.TRIAL_PASSED), ("cost", Reason.TRIAL_PASSED)],
)
def test_no_throughput_pays_for_a_longer_tail_when_the_objective_is_latency(make_observation, objective, reason):
    def window(requests, bucket, demand):
        bounds = (0.1, 0.25, 0.5, float("inf"))
        return make_observation(
            requests=requests,
            backlog=0.0,
            busy_seconds_total=15.0 * demand,
            duration_buckets=tuple((each, requests if each >= bucket else 0.0) for each in bounds),
        )

    chosen = policy(objective).objective
    judged = conclude(window(1500.0, 0.1, 10), window(3000.0, 0.5, 30), GTHREAD, minimum=100.0, objective=chosen)

    assert judged.reason is reason


def test_the_same_objective_settles_on_fewer_processes_for_cost_in_the_end(bench):
    app_policy = {"objective": "cost", "workerClasses": ["sync", "gthread"], "windows": {"shrinkSeconds": 60}}
    from_four = bench(
        App(compute=0.002, wait=0.1), Settings(WorkerClass.GTHREAD, 4, 8), policy=app_policy, clients=8
    ).run(300)

    assert from_four.settings.workers == 1
    assert from_four.settings.slots >= 8
