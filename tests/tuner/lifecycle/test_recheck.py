"""A, B, A again: a change on all pods whose verdict may be due to the load."""

from __future__ import annotations

import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action
from stablehand_tuner.lifecycle.phases import Recheck, RollingBack
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

OLD = Settings(WorkerClass.SYNC, 1)


class OnePod:
    """One pod in a closed loop of 64 clients; `rate` says how many requests per second any settings serve now."""

    def __init__(self, make_observation):
        self._make, self.state, self.now, self.running = make_observation, TunerState(), 1000.0, OLD
        self.rate = {WorkerClass.SYNC: 100.0, WorkerClass.GTHREAD: 600.0}
        self.demand, self.policy = 64.0, Policy()
        self.decisions = []

    def tick(self, **changes):
        """Take one step; the pod runs at once what it should."""
        self.now += 5.0
        settings = self.running
        requests = 5.0 * self.rate[settings.worker_class]
        in_app = min(self.demand, settings.slots)
        seen = self._make(
            **{
                "settings": settings,
                "seconds": 5.0,
                "requests": requests,
                "busy_seconds_total": in_app * 5.0,
                "cpu_seconds_total": requests * 0.0015,
                "backlog": self.demand - in_app,
                "duration_buckets": ((0.1, 0.0), (0.25, requests), (float("inf"), requests)),
                **changes,
            }
        )
        stored = TunerState.from_mapping(json.loads(json.dumps(self.state.to_mapping())))
        self.state, decisions = step(self.policy, stored, {"pod": seen}, self.now)
        assert len(json.dumps(self.state.to_mapping())) < 8192
        self.running = self.state.desired
        self.decisions.append(decisions[-1])
        return decisions[-1]

    def until(self, action, reason=None, most=60):
        """Take steps until one decides so."""
        for _ in range(most):
            decision = self.tick()
            if decision.action is action and reason in {None, decision.reason}:
                return decision
        raise AssertionError(f"no {action} within {most} steps, last: {decision.message}")


@pytest.fixture
def pod(make_observation):
    return OnePod(make_observation)


def test_a_change_that_loses_is_confirmed_by_what_ran_before_and_its_class_is_out(pod):
    pod.rate[WorkerClass.GTHREAD] = 70.0
    begun = pod.until(Action.APPLY)
    harmed = pod.until(Action.ROLL_BACK)
    assert (harmed.reason, harmed.settings) == (Reason.TRIAL_THROUGHPUT, OLD)
    assert pod.state.known.banned == {}, "not yet: the load may have changed"
    confirmed = pod.until(Action.HOLD, Reason.TRIAL_CONFIRMED)

    assert str(begun.settings) in confirmed.message
    assert pod.state.known.banned == {WorkerClass.GTHREAD: Reason.TRIAL_THROUGHPUT}
    assert (pod.state.is_watching, pod.state.desired) == (True, OLD)


def test_a_load_that_changed_in_the_middle_of_a_trial_does_not_decide_it(pod):
    begun = pod.until(Action.APPLY)
    # all requests take ten times as long from now on: what was 600/s is 60/s, and what was 100/s would be 20/s
    pod.rate = {WorkerClass.SYNC: 20.0, WorkerClass.GTHREAD: 60.0}
    pod.until(Action.ROLL_BACK, Reason.TRIAL_THROUGHPUT)
    back = pod.until(Action.APPLY, Reason.LOAD_CHANGED)

    assert back.settings == begun.settings
    assert pod.until(Action.KEEP).settings == begun.settings
    assert pod.state.known.banned == {}


def test_a_change_that_costs_a_little_goes_back_and_stays_out_if_that_is_better(pod):
    pod.running, pod.demand = Settings(WorkerClass.GTHREAD, 2, 8), 18.0
    pod.rate = {WorkerClass.GTHREAD: 160.0}
    pod.until(Action.APPLY)
    pod.rate = {WorkerClass.GTHREAD: 143.0}  # a tenth less than before
    pod.until(Action.ROLL_BACK, Reason.TRIAL_UNCLEAR)
    pod.rate = {WorkerClass.GTHREAD: 160.0}

    assert pod.until(Action.HOLD, Reason.TRIAL_CONFIRMED)
    assert pod.running == Settings(WorkerClass.GTHREAD, 2, 8)


@pytest.mark.parametrize("changed", [False, True], ids=["no gain", "the load changed"])
def test_more_slots_that_gain_nothing_stay_out_unless_the_load_changed(pod, changed):
    pod.rate[WorkerClass.GTHREAD] = 100.0
    begun = pod.until(Action.APPLY)
    pod.until(Action.ROLL_BACK, Reason.TRIAL_NO_GAIN)
    if changed:
        pod.rate[WorkerClass.SYNC] = 40.0
        assert pod.until(Action.APPLY, Reason.LOAD_CHANGED).settings == begun.settings
    else:
        assert pod.until(Action.HOLD, Reason.TRIAL_CONFIRMED)
    assert pod.state.known.banned == {}, "the class did nothing wrong"


def test_the_doubt_comes_once(pod):
    """The load falls a little during both trials: the second is final, so that nothing goes back and forth."""
    pod.running, pod.demand = Settings(WorkerClass.GTHREAD, 2, 8), 18.0
    pod.rate = {WorkerClass.GTHREAD: 160.0}
    pod.until(Action.APPLY)
    pod.rate = {WorkerClass.GTHREAD: 145.0}
    pod.until(Action.ROLL_BACK, Reason.TRIAL_UNCLEAR)
    pod.until(Action.APPLY, Reason.LOAD_CHANGED)
    pod.rate = {WorkerClass.GTHREAD: 131.0}

    assert pod.until(Action.KEEP)
    assert sum(each.action is Action.ROLL_BACK for each in pod.decisions) <= 2


def test_a_second_time_that_cannot_be_seen_leaves_what_ran_before(pod):
    pod.rate[WorkerClass.GTHREAD] = 70.0
    pod.until(Action.APPLY)
    pod.until(Action.ROLL_BACK)
    pod.tick()
    assert isinstance(pod.state.phase, Recheck)
    for _ in range(40):
        pod.now += 5.0
        pod.state, decisions = step(pod.policy, pod.state, {"pod": None}, pod.now)
        if pod.state.is_watching:
            break

    assert decisions[-1].reason is Reason.TRIAL_CONFIRMED
    assert pod.state.desired == OLD
    assert pod.state.known.banned == {WorkerClass.GTHREAD: Reason.TRIAL_THROUGHPUT}


def test_errors_need_no_second_look(pod):
    pod.until(Action.APPLY)
    for _ in range(5):
        decision = pod.tick(**({"errors": 900.0} if pod.running != OLD else {}))
        if decision.action is Action.ROLL_BACK:
            break

    assert decision.reason is Reason.TRIAL_ERRORS
    assert isinstance(pod.state.phase, RollingBack)
    assert pod.state.phase.doubt is None
    assert pod.state.known.banned == {WorkerClass.GTHREAD: Reason.TRIAL_ERRORS}


def test_settings_that_are_set_from_outside_meanwhile_stay(pod):
    pod.rate[WorkerClass.GTHREAD] = 70.0
    pod.until(Action.APPLY)
    pod.until(Action.ROLL_BACK)
    pod.tick()
    pod.running = Settings(WorkerClass.SYNC, 5)

    assert pod.tick().reason is Reason.SETTINGS_CHANGED_OUTSIDE
    assert pod.state.is_watching
