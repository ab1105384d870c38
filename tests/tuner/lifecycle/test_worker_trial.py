"""What may break the app is tried by one worker first: what the caller has to write, and how the trial ends."""

from __future__ import annotations

import dataclasses
import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import CanaryApplying, Climbing, RollingBack, WorkerTrial
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.model.known import Known
from stablehand_tuner.observe.trial_seen import TrialSeen
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1, SYNC_2 = Settings(WorkerClass.SYNC, 1), Settings(WorkerClass.SYNC, 2)
START = 1000.0


class App:
    """Pods that wait 100 ms for each request, under 64 clients each; one worker of one of them may try something."""

    def __init__(self, make_observation, *, pods=1, settings=SYNC_2, knows_trials=True, canaries=False, policy=None):
        self.make = make_observation
        self.policy, self.canaries = Policy.from_mapping(policy or {}), canaries
        self.pods = [f"pod-{number}" for number in range(pods)]
        self.runs = dict.fromkeys(self.pods, settings)
        self.reports = {pod: TrialSeen(0, "") for pod in self.pods} if knows_trials else {}
        self.error_share, self.rate, self.slower = 0.0, 50.0, 1.0
        self.memory = {}
        self.state, self.now, self.decisions = TunerState(), START, []

    @property
    def decision(self):
        """The last one."""
        return self.decisions[-1]

    def round(self, seconds=None):
        """Let some time pass, and the tuner go one round; the state passes through its stored form."""
        seconds = seconds or self.state.scrape_within or 5.0
        self.now += seconds
        for pod, report in self.reports.items():
            if report.state == "running":
                self.reports[pod] = dataclasses.replace(
                    report, worker=self.worker(pod, seconds), siblings=self.siblings(pod, seconds)
                )
        state = TunerState.from_mapping(json.loads(json.dumps(self.state.to_mapping())))
        seen = {pod: self.whole(pod, seconds) for pod in self.pods}
        self.state, decisions = step(
            self.policy, state, seen, self.now, canaries=self.canaries, trials=dict(self.reports)
        )
        self.decisions.extend(decisions)
        return self.decision

    def until(self, condition, rounds=200):
        """Go rounds until a decision is as wanted, and return it."""
        for _ in range(rounds):
            if condition(self.round()):
                return self.decision
        raise AssertionError([each.message for each in self.decisions])

    def begin(self):
        """Go on until a worker tries something, and that worker serves."""
        self.until(lambda decision: decision.action is Action.TRY)
        self.report("running")
        return self.state.trial

    def report(self, state, number=None):
        """Let the server report a state of the trial."""
        pod = self.state.phase.pod
        self.reports[pod] = TrialSeen(number or self.state.trial.id, state)

    def whole(self, pod, seconds):
        """Return what all workers of a pod show."""
        settings = self.runs[pod]
        requests = 10.0 * settings.slots * seconds
        return self.make(
            settings=settings,
            seconds=seconds,
            requests=requests,
            busy_seconds_total=settings.slots * seconds,
            cpu_seconds_total=0.0015 * requests,
            **self.memory,
            backlog=64.0 - settings.slots,
            duration_buckets=((0.25, requests), (float("inf"), requests)),
        )

    def worker(self, pod, seconds):
        """Return what the worker on trial shows."""
        requests = self.rate * seconds
        return dataclasses.replace(
            self.whole(pod, seconds),
            requests=requests,
            errors=requests * self.error_share,
            busy_seconds_total=0.1 * requests * self.slower,
            backlog=0.0,
            duration_buckets=(),
        )

    def siblings(self, pod, seconds):
        """Return what its siblings show."""
        return dataclasses.replace(self.whole(pod, seconds), backlog=0.0, duration_buckets=(), workers_ready=1.0)


@pytest.fixture
def app(make_observation):
    def make(**options):
        return App(make_observation, **options)

    return make


def test_a_class_that_is_new_to_the_app_runs_in_one_worker_while_all_others_go_on(app):
    shop = app()
    trial = shop.begin()

    assert (trial.worker_class, trial.id) == (WorkerClass.GTHREAD, 1)
    assert shop.state.desired == SYNC_2
    assert shop.state.canary is None, "nobody can give this server settings of its own"
    assert not any(each.changes_settings for each in shop.decisions)
    assert trial.guard.failed_share <= 0.05
    assert trial.seconds > shop.policy.windows.trial_seconds, "there is time to confirm it"


def test_what_does_no_harm_is_what_all_run_and_goes_on_as_any_change(app):
    shop = app()
    trial = shop.begin()
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert decision.action is Action.APPLY
    assert decision.settings == Settings(WorkerClass.GTHREAD, 2, 2)
    assert trial.threads == 4, "with two threads at once little would show"
    assert isinstance(shop.state.phase, Climbing)
    assert shop.state.trial is None
    assert len(shop.state.history.began_at) == 1, "it is one change"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("failed", Reason.TRIAL_ERRORS),
        ("changed", Reason.TRIAL_ANSWERS),
        ("late", Reason.TRIAL_LAG),
        ("unserved", Reason.TRIAL_UNSERVED),
        ("died", Reason.TRIAL_DIED),
        ("boot_failure", Reason.SERVER_REFUSED),
    ],
)
def test_a_class_for_which_the_server_has_ended_the_trial_is_never_tried_again(app, outcome, reason):
    shop = app()
    shop.begin()
    shop.report(outcome)
    decision = shop.round(1.0)

    assert (decision.action, decision.reason, decision.settings) == (Action.ROLL_BACK, reason, SYNC_2)
    assert shop.state.known.banned == {WorkerClass.GTHREAD: reason}
    assert shop.state.trial is None
    for _ in range(60):
        shop.round()
    tried = [each.settings.worker_class for each in shop.decisions if each.action is Action.TRY]
    assert tried.count(WorkerClass.GTHREAD) == 1


@pytest.mark.parametrize("outcome", ["expired", "not_started", "withdrawn"])
def test_what_the_server_did_not_run_to_its_end_is_tried_again_each_time_twice_as_late(app, outcome):
    shop, ended = app(), []
    for number in (1, 2, 3):
        assert shop.begin().id == number
        shop.report(outcome)
        assert shop.round(1.0).reason is Reason.WORKER_TRIAL_UNDECIDED
        ended.append(shop.now)
        assert not shop.state.known.banned
    shop.begin()
    waits = [later - earlier for earlier, later in zip(ended, [*ended[1:], shop.now], strict=True)]

    assert 60 <= waits[0] < waits[1] < waits[2]
    assert waits[2] >= 240


def test_what_the_worker_shows_ends_the_trial_as_well(app):
    shop = app()
    shop.error_share = 0.1
    shop.begin()
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.TRIAL_ERRORS)
    assert WorkerClass.GTHREAD in shop.state.known.banned


def test_a_worker_that_is_slower_for_no_gain_breaks_nothing_so_its_class_may_be_tried_again(app):
    shop = app()
    shop.rate, shop.slower = 10.0, 3.0
    shop.begin()
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.TRIAL_LATENCY)
    assert not shop.state.known.banned
    assert shop.state.known.tries.made
    ceiling = shop.state.known.ceilings.known[0]
    assert (ceiling.level, ceiling.good, ceiling.bad) == (Level.PROCESS, 1, 4), "more processes may be what they need"
    assert shop.until(lambda decision: decision.action is Action.APPLY).settings.worker_class is WorkerClass.SYNC
    assert shop.decision.settings.workers > SYNC_2.workers


def test_a_trial_that_fills_the_memory_ends_and_is_not_begun_again_at_once(app):
    shop = app()
    shop.begin()
    shop.memory = {"worker_memory_bytes": 150e6, "worker_memory_bytes_mean": 150e6, "memory_limit_bytes": 300e6}
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.MEMORY)
    tried = shop.state.known.tries.made

    shop.memory = {}
    for _ in range(10):  # fifty seconds
        assert shop.round().action is not Action.TRY
    assert tried
    assert shop.state.known.memory_ceiling


def test_a_worker_without_requests_is_no_evidence_that_it_does_no_harm(app):
    shop = app()
    shop.rate = 0.0
    shop.begin()
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert decision.reason is Reason.WORKER_TRIAL_UNDECIDED
    assert shop.state.desired == SYNC_2


def test_beside_the_only_process_a_second_one_is_on_trial_as_well(app):
    shop = app(settings=SYNC_1)
    shop.begin()
    shop.until(lambda decision: decision.action is Action.APPLY)

    assert shop.state.known.several is Reason.TRIAL_PASSED


def test_where_a_second_process_is_what_the_app_does_not_bear_its_only_one_stays_as_it_is(app):
    shop = app(settings=SYNC_1)
    shop.begin()
    shop.report("unshared")
    shop.round(1.0)

    assert shop.state.known.several is Reason.TRIAL_ANSWERS
    assert not shop.state.known.banned
    for _ in range(60):
        assert shop.round().action in {Action.HOLD, Action.ROLL_BACK}, "any change would need another process"
    assert shop.state.desired == SYNC_1


def test_ids_grow_beyond_what_the_server_has_seen_and_over_images(app):
    shop = app()
    shop.reports["pod-0"] = TrialSeen(41, "expired")
    shop.state = TunerState(history=History(trial_id=7), image="shop:1").for_image("shop:2")
    shop.until(lambda decision: decision.action is Action.TRY)

    assert shop.state.trial.id == 42
    assert shop.state.for_image("shop:3").history.trial_id == 42


def test_a_trial_that_another_tuner_has_left_running_is_waited_for(app):
    shop = app()
    shop.reports["pod-0"] = TrialSeen(3, "running")
    for _ in range(20):
        assert shop.round().action is Action.HOLD
    assert shop.decision.reason is Reason.WORKER_TRIAL


def test_a_server_that_does_not_know_trials_gets_the_change_as_before(app):
    shop = app(knows_trials=False)
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert decision.action is Action.APPLY
    assert isinstance(shop.state.phase, Climbing)


def test_of_several_pods_one_worker_of_one_pod_tries_it_and_then_that_pod(app):
    shop = app(pods=3, canaries=True)
    trial = shop.begin()
    phase = shop.state.phase

    assert isinstance(phase, WorkerTrial)
    assert shop.state.canary == Canary(phase.pod, SYNC_2, trial)
    assert '"trial"' in shop.state.canary.file.to_json()
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)
    assert decision.action is Action.CANARY
    assert isinstance(shop.state.phase, CanaryApplying)
    assert shop.state.canary == Canary(phase.pod, Settings(WorkerClass.GTHREAD, 2, 2))


def test_the_only_pod_of_a_cluster_keeps_settings_of_its_own_until_all_is_written(app):
    shop = app(canaries=True)
    shop.begin()
    shop.until(lambda decision: decision.action is Action.APPLY)

    assert shop.state.canary == Canary("pod-0", Settings(WorkerClass.GTHREAD, 2, 2))


def test_more_of_what_runs_already_is_not_tried_by_one_worker(app):
    shop = app(settings=Settings(WorkerClass.GTHREAD, 2, 4))
    decision = shop.until(lambda decision: decision.action is not Action.HOLD)

    assert decision.action is Action.APPLY


def test_settings_from_outside_end_it(app):
    shop = app()
    shop.begin()
    shop.runs["pod-0"] = Settings(WorkerClass.SYNC, 5)

    assert shop.round().reason is Reason.SETTINGS_CHANGED_OUTSIDE
    assert shop.state.trial is None


def test_a_tuner_that_is_switched_off_withdraws_it(app):
    shop = app()
    shop.begin()
    shop.policy = dataclasses.replace(shop.policy, frozen=True)
    shop.round()

    assert shop.state.trial is None
    assert shop.state.desired == SYNC_2


def test_a_trial_that_never_begins_is_given_up(app):
    shop = app()
    shop.until(lambda decision: decision.action is Action.TRY)
    waiting = 0
    while isinstance(shop.state.phase, WorkerTrial):
        shop.round(5.0)
        waiting += 5

    assert isinstance(shop.state.phase, RollingBack)
    assert waiting <= shop.policy.windows.apply_seconds + 5
    assert shop.state.known == dataclasses.replace(Known(), tries=shop.state.known.tries, **kept(shop.state.known))


def kept(known):
    """Return what was learned of the app meanwhile, trials aside."""
    return {"footprint": known.footprint, "kinds": known.kinds}
