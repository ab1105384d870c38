"""One pod of several tries a change: what the caller has to do, and how the canary ends."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action
from stablehand_tuner.evidence.canary_verdict import judge
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.canary import choose
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.observe.aggregation import combine, merge
from stablehand_tuner.policy import Policy, Windows
from stablehand_tuner.reasons import Reason

OLD = Settings(WorkerClass.GTHREAD, 2, 12)  # what it changes to has no more than twice the slots
PODS = ("pod-a", "pod-b", "pod-c", "pod-d")


class Fleet:
    """Four pods in a closed loop: what each does follows from its settings, with a little noise from the seed."""

    def __init__(self, make_observation, seed=1):
        self._make = make_observation
        self._chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
        self.clients = 32.0
        self.policy, self.state, self.now = Policy(), TunerState(), 1000.0
        self.running = dict.fromkeys(PODS, OLD)
        self.pods = list(PODS)
        self.error_share = {}  # by class
        self.slower = {}  # times the time inside the app, by class
        self.lag = {}  # seconds, by class
        self.obeys, self.decisions = True, []

    def observe(self, pod, seconds=5.0, **changes):
        """Return what one pod shows of the last seconds."""
        settings = self.running[pod]
        inside = (0.0015 + 0.1) * self.slower.get(settings.worker_class, 1.0) * self._chance.gauss(1.0, 0.02)
        in_app = min(self.clients, settings.slots)
        requests = round(in_app / inside * seconds)
        bounds = (0.005, 0.05, 0.1, 0.25, 0.5, 1.0, float("inf"))
        return self._make(
            **{
                "settings": settings,
                "seconds": seconds,
                "requests": float(requests),
                "errors": float(round(requests * self.error_share.get(settings.worker_class, 0.0))),
                "busy_seconds_total": in_app * seconds,
                "cpu_seconds_total": requests * 0.0015 * self._chance.gauss(1.0, 0.02),
                "backlog": max(0.0, self.clients - in_app),
                "peak_demand": self.clients,
                "lag_seconds_mean": self.lag.get(settings.worker_class, 0.0),
                "duration_buckets": tuple((each, float(requests) if each >= inside else 0.0) for each in bounds),
                **changes,
            }
        )

    def tick(self, *, canaries=True, **changes):
        """Take one step, with changes to what the pods named by them show; None for a scrape that is missing."""
        self.now += 5.0
        seen = {}
        for pod in self.pods:
            change = changes.get(pod.replace("-", "_"), {})
            seen[pod] = None if change is None else self.observe(pod, **change)
        stored = json.loads(json.dumps(self.state.to_mapping()))
        self.state, decisions = step(self.policy, TunerState.from_mapping(stored), seen, self.now, canaries=canaries)
        assert len(json.dumps(self.state.to_mapping())) < 8192
        if self.obeys:
            for pod in self.pods:
                own = self.state.canary is not None and self.state.canary.pod == pod
                self.running[pod] = self.state.canary.settings if own else self.state.desired
        self.decisions.append(decisions[-1])
        return decisions[-1]

    def until(self, *actions, most=60, **changes):
        """Take steps until one decides to do one of the actions."""
        for _ in range(most):
            decision = self.tick(**changes)
            if decision.action in actions:
                return decision
        raise AssertionError(f"no {actions} within {most} steps, last: {decision.message}")

    def steps(self, number, **changes):
        """Take so many steps."""
        return [self.tick(**changes) for _ in range(number)]


@pytest.fixture
def fleet(make_observation):
    return Fleet(make_observation)


def test_one_pod_tries_a_change_and_the_others_keep_what_they_run(fleet):
    begun = fleet.until(Action.CANARY)

    assert begun.pod in PODS
    assert not begun.changes_settings
    assert fleet.state.desired == OLD
    assert (fleet.state.canary.pod, fleet.state.canary.settings) == (begun.pod, begun.settings)
    assert [fleet.running[pod] for pod in PODS].count(OLD) == 3
    assert fleet.tick().reason is Reason.CANARY_RUNNING


def test_a_canary_that_does_better_is_promoted_then_tried_by_all_and_kept(fleet):
    begun = fleet.until(Action.CANARY)
    at = fleet.now
    promoted = fleet.until(Action.PROMOTE)

    assert (promoted.settings, promoted.pod) == (begun.settings, begun.pod)
    assert promoted.changes_settings
    assert fleet.state.desired == begun.settings
    assert fleet.state.canary.pod == begun.pod, "it keeps its own until all others run the same"
    assert 20 <= fleet.now - at <= 60
    kept = fleet.until(Action.KEEP)
    assert kept.settings == begun.settings
    assert (fleet.state.canary, fleet.state.is_watching) == (None, True)


@pytest.mark.parametrize("backlog", [False, True])
def test_errors_of_the_canary_reach_no_other_pod_and_end_it_within_two_scrapes(fleet, backlog):
    fleet.clients = 300.0 if backlog else 100.0
    fleet.error_share = {WorkerClass.GEVENT: 0.2}
    fleet.policy = Policy.from_mapping({"threads": {"max": 16}})
    begun = fleet.until(Action.CANARY)
    exposed = {begun.pod}
    assert begun.settings.worker_class is WorkerClass.GEVENT
    for _ in range(60):
        decision = fleet.tick()
        exposed |= {pod for pod in PODS if fleet.running[pod].worker_class is WorkerClass.GEVENT}
        if decision.action is Action.ROLL_BACK:
            break

    assert (decision.reason, decision.settings, decision.pod) == (Reason.TRIAL_ERRORS, OLD, begun.pod)
    assert "20.0% of the canary's requests fail, 0.0% of its siblings'" in decision.message
    assert exposed == {begun.pod}
    assert sum(each.reason is Reason.CANARY_RUNNING for each in fleet.decisions) <= 2
    assert fleet.state.canary is None
    assert fleet.state.known.banned == {WorkerClass.GEVENT: Reason.TRIAL_ERRORS}
    fleet.steps(60)
    assert WorkerClass.GEVENT not in {each.worker_class for each in fleet.running.values()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lag": {WorkerClass.GEVENT: 0.3}}, Reason.TRIAL_LAG),
        ({"slower": {WorkerClass.GEVENT: 9.0}}, Reason.TRIAL_LATENCY),
    ],
    ids=["lag", "latency"],
)
def test_a_canary_that_harms_otherwise_is_rolled_back_too(fleet, change, reason):
    fleet.clients = 100.0
    fleet.policy = Policy.from_mapping({"threads": {"max": 16}})
    for name, value in change.items():
        setattr(fleet, name, value)
    fleet.until(Action.CANARY)

    assert fleet.until(Action.ROLL_BACK).reason is reason


def test_a_load_that_changes_for_all_pods_in_the_middle_decides_nothing(fleet):
    fleet.until(Action.CANARY)
    fleet.steps(3)
    # all requests take three times as long from now on, and one in ten fails, whatever serves them
    fleet.slower = dict.fromkeys(WorkerClass, 3.0)
    fleet.error_share = dict.fromkeys(WorkerClass, 0.1)

    assert fleet.until(Action.PROMOTE, Action.ROLL_BACK).action is Action.PROMOTE


def test_a_canary_that_is_no_worse_is_promoted_and_one_that_proves_nothing_too_at_its_end(fleet):
    """The siblings vary so much that no test finds anything; more threads need no proof."""
    fleet.policy = Policy.from_mapping({"windows": {"canarySeconds": 60}})
    begun = fleet.until(Action.CANARY)
    other = next(pod for pod in PODS if pod != begun.pod).replace("-", "_")
    for number in range(30):
        wild = {"backlog": 3000.0 if number % 2 else 0.0}
        decision = fleet.tick(**{other: wild})
        if decision.action is not Action.HOLD and decision.action is not Action.CANARY:
            break

    assert (decision.action, decision.reason) == (Action.PROMOTE, Reason.CANARY_PASSED)


def test_an_event_loop_needs_a_proof_and_goes_without_one_but_is_not_banned(fleet):
    fleet.clients = 40.0
    fleet.policy = Policy.from_mapping({"threads": {"max": 16}, "windows": {"canarySeconds": 60}})
    begun = fleet.until(Action.CANARY)
    assert begun.settings.worker_class is WorkerClass.GEVENT
    pod = begun.pod.replace("-", "_")
    for number in range(60):
        decision = fleet.tick(**{pod: {"backlog": 300.0 if number % 2 else 0.0}})
        if decision.action is Action.ROLL_BACK:
            break

    assert decision.reason is Reason.CANARY_UNDECIDED
    assert fleet.state.known.banned == {}


def test_a_canary_with_too_few_requests_is_undecided(fleet):
    begun = fleet.until(Action.CANARY)
    pod = begun.pod.replace("-", "_")
    decision = fleet.until(Action.ROLL_BACK, **{pod: {"requests": 2.0, "errors": 0.0, "cpu_seconds_total": 0.003}})

    assert decision.reason is Reason.CANARY_UNDECIDED


@pytest.mark.parametrize("who", ["canary", "siblings"])
def test_a_canary_that_is_gone_or_alone_ends_without_blame(fleet, who):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    fleet.pods = [pod for pod in PODS if (pod == begun.pod) is (who == "siblings")]
    decision = fleet.tick()

    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.CANARY_LOST)
    assert (fleet.state.canary, fleet.state.history.reversals, fleet.state.known.banned) == (None, 0, {})
    assert fleet.until(Action.HOLD).reason is Reason.COOLING_DOWN


def test_a_canary_that_cannot_be_seen_is_rolled_back_in_the_end(fleet):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    decision = fleet.until(Action.ROLL_BACK, **{begun.pod.replace("-", "_"): None})

    assert decision.reason is Reason.APPLY_TIMED_OUT


def test_a_scrape_that_is_missing_on_one_side_is_compared_with_nothing(fleet):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    before = fleet.state.phase.comparison
    fleet.tick(**{begun.pod.replace("-", "_"): None})

    assert fleet.state.phase.comparison == before


def test_a_canary_that_refuses_is_rolled_back_and_never_asked_again(fleet):
    fleet.obeys = False
    begun = fleet.until(Action.CANARY)
    assert fleet.tick() == begun, "it is asked for until the pod runs it"
    decision = fleet.tick(**{begun.pod.replace("-", "_"): {"switches_rejected": 1.0}})

    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.SERVER_REFUSED)
    assert fleet.state.known.refused == (begun.settings,)


def test_a_canary_that_never_switches_is_given_up_after_its_time(fleet):
    fleet.obeys = False
    fleet.until(Action.CANARY)

    assert fleet.until(Action.ROLL_BACK).reason is Reason.APPLY_TIMED_OUT


def test_the_first_seconds_of_new_workers_are_no_verdict_on_them(fleet):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    cold = {"busy_seconds_total": 5.0 * 300, "backlog": 300.0, "cpu_seconds_total": 9.0}
    fleet.tick(**{begun.pod.replace("-", "_"): cold})

    assert fleet.state.phase.comparison.response.samples == 0
    assert fleet.until(Action.PROMOTE, Action.ROLL_BACK).action is Action.PROMOTE


def test_memory_does_not_wait_for_a_canary(fleet):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    other = next(pod for pod in PODS if pod != begun.pod).replace("-", "_")
    ended = fleet.tick(**{other: {"oom_exits": 1.0}})

    assert (ended.action, ended.reason, fleet.state.canary) == (Action.ROLL_BACK, Reason.MEMORY, None)
    fleet.tick()
    relief = fleet.until(Action.APPLY, most=2, **{other: {"oom_exits": 1.0}})
    assert (relief.reason, relief.settings.workers) == (Reason.MEMORY, 1)


@pytest.mark.parametrize("side", ["canary", "siblings"])
def test_settings_that_are_set_from_outside_end_the_canary(fleet, side):
    begun = fleet.until(Action.CANARY)
    fleet.tick()
    fleet.obeys = False
    theirs = Settings(WorkerClass.SYNC, 4)
    for pod in PODS:
        if (pod == begun.pod) is (side == "canary"):
            fleet.running[pod] = theirs

    assert fleet.tick().reason is Reason.SETTINGS_CHANGED_OUTSIDE
    assert (fleet.state.canary, fleet.state.is_watching) == (None, True)


@pytest.mark.parametrize("policy", [{"mode": "Off"}, {"mode": "Recommend"}, {"freeze": True}])
def test_a_policy_that_stops_the_tuner_withdraws_the_canary(fleet, policy):
    fleet.until(Action.CANARY)
    fleet.tick()
    fleet.policy = Policy.from_mapping(policy)
    fleet.tick()

    assert (fleet.state.canary, fleet.state.desired) == (None, OLD)
    assert set(fleet.running.values()) == {OLD}


def test_a_shell_without_canaries_changes_all_pods_and_withdraws_what_another_shell_began(fleet):
    fleet.until(Action.CANARY)
    fleet.tick(canaries=False)

    assert (fleet.state.canary, fleet.state.desired) == (None, OLD)
    assert fleet.until(Action.APPLY, canaries=False).changes_settings


def test_a_backlog_in_the_same_class_does_not_wait_for_a_canary(fleet):
    fleet.clients = 60.0
    decision = fleet.until(Action.APPLY, Action.CANARY)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.BACKLOG)
    assert decision.settings.worker_class is OLD.worker_class


def test_one_pod_cannot_be_compared_so_there_is_no_canary(fleet):
    fleet.pods = ["pod-a"]

    assert fleet.until(Action.APPLY, Action.CANARY).action is Action.APPLY


def test_another_image_gives_a_canary_up(fleet):
    fleet.state = fleet.state.for_image("shop:1")
    fleet.until(Action.CANARY)
    state = fleet.state.for_image("shop:2")

    assert (state.canary, state.desired, state.is_watching) == (None, OLD, True)
    assert state.history == History(began_at=fleet.state.history.began_at), "the budget is the app's, not the image's"


def test_the_canary_is_the_pod_in_the_middle_and_none_where_one_cannot_be_seen(make_observation):
    seen = {
        name: make_observation(busy_seconds_total=busy, backlog=0.0)
        for name, busy in (("a", 9.0), ("b", 1.0), ("c", 5.0), ("d", 4.0))
    }

    assert choose(seen) == "d"
    assert choose({**seen, "e": None}) is None
    assert choose({**seen, "e": dataclasses.replace(seen["a"], steady=False)}) is None
    assert choose({"a": seen["a"]}) is None


def test_equal_settings_are_rolled_back_in_no_more_than_one_canary_of_twenty(make_observation):
    """The whole verdict, looked at for two minutes, where nothing differs but by chance."""
    harmed = 0
    for seed in range(60):
        fleet = Fleet(make_observation, seed)
        chance = random.Random(1000 + seed)  # noqa: S311 (a simulation, not a secret)
        comparison, window = Comparison.against(fleet.observe("pod-a")), None
        for _ in range(24):
            ticks = []
            for pod in PODS:
                seen = fleet.observe(pod)
                errors = float(sum(chance.random() < 0.02 for _ in range(int(seen.requests))))
                buckets = ((0.1, seen.requests * chance.uniform(0.93, 0.97)), (math.inf, seen.requests))
                ticks.append(dataclasses.replace(seen, errors=errors, duration_buckets=buckets))
            comparison = comparison.add(ticks[0], combine(ticks[1:]), settled=True)
            window = ticks[0] if window is None else merge(window, ticks[0])
            # the whole time counts, also after a verdict would have ended it
            outcome = judge(comparison, window, OLD, Windows(canary_seconds=1e6, trial_seconds=1e6), served=OLD)
            if outcome is not None:
                harmed += 1
                break

    assert harmed <= 6, "one in twenty, and three standard deviations of chance"
