"""How sure the tuner is, what it would need to know, and what it does not believe."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.certainty import shares
from stablehand_tuner.observe.load import Load
from stablehand_tuner.observe.plausibility import impossible, sift
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
GTHREAD_2_3 = Settings(WorkerClass.GTHREAD, 2, 3)


def test_more_requests_make_the_cpu_share_surer(make_observation):
    few, many = (
        Load.of(make_observation(requests=count, busy_seconds_total=count / 10, cpu_seconds_total=count / 50), SYNC_1)
        for count in (100.0, 10_000.0)
    )
    (low, high), (lower, higher) = shares(few), shares(many)

    assert (low, high) == (pytest.approx(0.16), pytest.approx(0.24))
    assert (lower, higher) == (pytest.approx(0.196), pytest.approx(0.204))


def test_it_lists_what_it_would_need_to_know(make_observation):
    seen = make_observation(requests=150.0)
    blind = make_observation(requests=4e5, memory_limit_bytes=None)
    full = make_observation(settings=GTHREAD_2_3, requests=4e5, busiest_worker_cores=0.95)

    assert model.propose(Policy(), seen, SYNC_1).needs == (
        "400 requests in a window instead of 150",
        "how much memory a request in flight adds to a worker: so far their number hardly varied",
    )
    assert "a memory limit" in " ".join(model.propose(Policy(), blind, SYNC_1).needs)
    assert "its lock and a database look alike" in " ".join(model.propose(Policy(), full, GTHREAD_2_3).needs)


def undecided(make_observation, requests):
    """Return a load whose CPU share is close to where computing begins: fewer slots, or more?"""
    return make_observation(
        settings=GTHREAD_2_3,
        requests=requests,
        busy_seconds_total=15.0 * 4,
        cpu_seconds_total=0.72 * 15 * 1.7,
        run_delay_seconds_total=15.0 * (4 - 1.7),
        busiest_worker_cores=0.6,
        cores=4.0,
        backlog=5.0,
        peak_demand=9.0,
    )


def test_a_choice_between_more_and_fewer_slots_waits_for_requests_but_not_forever(make_observation):
    policy = Policy.from_mapping({"windows": {"warmUpSeconds": 0, "warmUpRequests": 0}})
    few, many = (undecided(make_observation, count) for count in (120.0, 600.0))
    assert model.propose(policy, few, GTHREAD_2_3).alternative
    _, (held,) = step(policy, TunerState(), {"pod": few}, 100.0)
    _, (decided,) = step(policy, TunerState(), {"pod": many}, 100.0)

    assert (held.action, held.reason) == (Action.HOLD, Reason.TOO_FEW_REQUESTS)
    assert held.message.startswith("between ")
    assert decided.reason is not Reason.TOO_FEW_REQUESTS


def test_impossible_values_count_as_missing_and_are_reported(make_observation):
    lying = make_observation(cpu_seconds_total=1e6)
    state, (decision,) = step(Policy(), TunerState(), {"pod-a": lying}, 100.0)

    assert decision.reason is Reason.DATA_MISSING
    assert decision.message.endswith("pod-a reports that its workers used 66666.7 of 2 cores, which is impossible")
    assert state.desired is None, "nothing that it reports is used"


def test_more_errors_than_requests_cannot_be_and_a_burst_can(make_observation):
    assert "requests failed" in impossible(make_observation(errors=151.0))
    assert impossible(make_observation(cores=0.1, cpu_seconds_total=15.0 * 1.5)) == ""
    assert sift({"a": make_observation(), "b": None}) == ({"a": make_observation(), "b": None}, "")
