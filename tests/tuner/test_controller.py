from __future__ import annotations

import functools
import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.phases import Applying
from stablehand_tuner.lifecycle.window import Window
from stablehand_tuner.observe.traits import Traits
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

# what the tuner changes to in one step: a change to more than twice the slots is a climb
START = Settings(WorkerClass.SYNC, 48)
BETTER = Settings(WorkerClass.GTHREAD, 2, 48)


@pytest.fixture
def make_observation(make_observation):
    return functools.partial(make_observation, settings=START, memory_limit_bytes=1e10)


@pytest.fixture
def drive(make_observation):
    """Return a function that takes steps of 5 s and remembers the state; what was observed in them is given to it."""

    class Drive:
        def __init__(self):
            self.state, self.policy, self.now = TunerState(), Policy(), 1000.0

        def __call__(self, *seen, seconds=5.0, **changes):
            """Take one step; with changes, of one pod that is observed so; with nothing, of a pod as it started."""
            if not seen:
                share = seconds / 15.0
                tick = {"seconds": seconds, "requests": 150 * share, "busy_seconds_total": 15 * share}
                seen = (make_observation(**{**tick, "cpu_seconds_total": 0.225 * share, **changes}),)
            self.now += seconds
            observations = {f"pod-{number}": each for number, each in enumerate(seen)}
            self.state, decisions = step(self.policy, self.state, observations, self.now)
            return decisions[-1]

        def until(self, reason, *, most=30, **changes):
            """Take steps until one decides for the reason."""
            for _ in range(most):
                decision = self(**changes)
                if decision.reason is reason:
                    return decision
            raise AssertionError(f"no {reason} within {most} steps, last: {decision.message}")

        def running(self, settings, **changes):
            """Take one step of a pod that runs the settings, answers 600 requests per second and has no queue."""
            return self(
                **{
                    "settings": settings,
                    "requests": 3000.0,
                    "busy_seconds_total": 300.0,
                    "cpu_seconds_total": 4.5,
                    "backlog": 0.0,
                    **changes,
                }
            )

    return Drive()


def test_the_first_decisions_are_to_warm_up_and_then_to_act_on_the_backlog(drive):
    assert drive().reason is Reason.WARMING_UP
    decision = drive.until(Reason.BACKLOG)

    assert decision.action is Action.APPLY
    assert decision.settings == BETTER
    assert isinstance(drive.state.phase, Applying)
    assert drive.now == 1000 + 5 + 20, "the warm-up is 20 s from the first sight, and the backlog does not wait longer"


def test_without_a_backlog_the_window_has_to_be_full(drive):
    calm = {"settings": Settings(WorkerClass.SYNC, 1), "backlog": 3.0, "peak_demand": 4.0}
    decision = drive.until(Reason.WAITING_DOMINATES, **calm)

    assert decision.action is Action.APPLY
    assert drive.now == 1000 + 5 + 20 + 10


def test_a_change_is_asked_for_again_until_every_pod_runs_it_and_is_then_tried_and_kept(drive):
    asked = drive.until(Reason.BACKLOG)

    assert drive() == asked, "the pod has not changed yet"
    assert drive(settings_active=None) == asked, "the pod is in the middle of its switch"
    assert drive.running(BETTER).reason is Reason.TRIAL_RUNNING
    for _ in range(3):
        assert drive.running(BETTER).action is Action.HOLD
    kept = drive.running(BETTER)

    assert (kept.action, kept.reason, kept.settings) == (Action.KEEP, Reason.TRIAL_PASSED, BETTER)
    assert "600.0 requests/s instead of 10.0" in kept.message
    assert (drive.state.is_watching, drive.state.desired) == (True, BETTER)


def test_a_scrape_across_the_switch_is_no_part_of_the_trial(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    drive.running(BETTER, steady=False, errors=3000.0)

    assert drive.state.phase.window == Window(None, missing=1, scrapes=1)


def test_harm_is_rolled_back_its_class_banned_and_the_roll_back_asked_for_until_done(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    harmed = drive.running(BETTER, errors=1500.0)

    assert (harmed.action, harmed.reason, harmed.settings) == (Action.ROLL_BACK, Reason.TRIAL_ERRORS, START)
    assert drive.state.desired == START
    assert drive.running(BETTER) == harmed, "it still runs the change"
    assert drive().reason is Reason.COOLING_DOWN
    assert drive.state.known.banned == {WorkerClass.GTHREAD: Reason.TRIAL_ERRORS}
    assert drive.state.history.reversals == 1
    again = drive.until(Reason.BACKLOG)
    assert again.settings.worker_class is WorkerClass.GEVENT


def test_a_refusal_is_rolled_back_and_the_settings_are_never_sent_again(drive):
    drive.policy = Policy.from_mapping({"workerClasses": ["sync", "gthread"], "workers": {"max": 1}})
    one = Settings(WorkerClass.SYNC, 1)
    sent = drive.until(Reason.BACKLOG, settings=one).settings
    refused = drive(settings=one, switches_rejected=1.0)

    assert (refused.action, refused.reason, refused.settings) == (Action.ROLL_BACK, Reason.SERVER_REFUSED, one)
    assert drive.state.known.refused == (sent,)
    for _ in range(400):
        assert drive(settings=one).settings != sent


def test_a_switch_that_the_server_rolled_back_is_a_refusal(drive):
    drive.until(Reason.BACKLOG)

    assert drive(switches_rolled_back=1.0).reason is Reason.SERVER_REFUSED


def test_settings_that_never_become_active_are_given_up_after_their_time(drive):
    asked = drive.until(Reason.BACKLOG)
    for _ in range(23):
        assert drive() == asked
    decision = drive()

    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.APPLY_TIMED_OUT)


def test_a_trial_of_which_nothing_can_be_seen_is_rolled_back(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    decisions = [drive(None) for _ in range(28)]

    assert {each.action for each in decisions[:-1]} == {Action.HOLD}
    assert (decisions[-1].action, decisions[-1].reason) == (Action.ROLL_BACK, Reason.APPLY_TIMED_OUT)


def test_a_trial_waits_for_requests_when_the_load_is_gone(drive):
    drive.until(Reason.BACKLOG)
    quiet = {"requests": 2.0, "busy_seconds_total": 0.2, "cpu_seconds_total": 0.0, "peak_demand": 0.1}
    drive.running(BETTER, **quiet)
    waiting = [drive.running(BETTER, **quiet) for _ in range(49)]

    assert {each.reason for each in waiting} == {Reason.TRIAL_RUNNING}
    assert waiting[-1].message.endswith("until it has served 100 requests: 98 so far")
    assert drive.running(BETTER, **quiet).action is Action.KEEP


def test_settings_that_are_set_from_outside_during_a_trial_stay(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    theirs = Settings(WorkerClass.SYNC, 4)

    assert drive.running(theirs).reason is Reason.SETTINGS_CHANGED_OUTSIDE
    drive.running(theirs)
    assert drive.state.desired == theirs


def test_settings_that_are_set_from_outside_between_changes_stay(drive):
    drive()
    theirs = Settings(WorkerClass.GTHREAD, 1, 2)

    assert drive(settings=theirs).reason is Reason.SETTINGS_CHANGED_OUTSIDE
    assert drive.state.desired == theirs


def test_pods_that_differ_are_waited_for(drive, make_observation):
    drive()

    assert drive(make_observation(), make_observation(settings=BETTER)).reason is Reason.SETTINGS_DIFFER
    assert drive(settings_desired=BETTER).reason is Reason.SETTINGS_DIFFER


def test_missing_scrapes_stop_every_change(drive, make_observation):
    for _ in range(60):
        decision = drive(make_observation(seconds=5.0), None)

        assert decision.action is Action.HOLD
    assert decision.reason is Reason.DATA_MISSING
    assert drive(None, None).reason is Reason.DATA_MISSING


def test_an_app_without_pods_is_left_alone_and_a_change_waits_for_pods(drive, make_observation):
    assert step(Policy(), TunerState(), {}, 0.0)[1][0].reason is Reason.NO_PODS
    asked = drive.until(Reason.BACKLOG)
    drive.state, decisions = step(drive.policy, drive.state, {}, drive.now + 10_000)
    drive.now += 10_000

    assert decisions == (asked,)
    assert drive() == asked


@pytest.mark.parametrize("how", ["mode Off", "settings of somebody else"])
def test_low_demand_starts_over_after_an_interruption(drive, how):
    """What demand called for before does not count afterwards."""
    big = Settings(WorkerClass.GTHREAD, 2, 32)
    busier, idle = ({"busy_seconds_total": busy, "peak_demand": busy / 5, "backlog": 0.0} for busy in (45.0, 15.0))
    drive.policy = Policy.from_mapping({"objective": "latency"})
    assert drive.until(Reason.SHRINK_WAITING, settings=big, requests=300.0, **busier)
    more = drive.state.phase.low_demand.slots
    if how == "mode Off":
        drive.policy = Policy.from_mapping({"mode": "Off"})
        drive(settings=big)
        drive.policy = Policy.from_mapping({"objective": "latency"})
    else:
        drive(settings=START)
        drive(settings=big)
    assert drive.state.phase.low_demand is None
    drive.until(Reason.SHRINK_WAITING, settings=big, requests=300.0, **idle)

    assert drive.state.phase.low_demand.slots < more


def test_mode_off_holds_and_leaves_the_settings(drive):
    drive.until(Reason.BACKLOG)
    drive.policy = Policy.from_mapping({"mode": "Off"})

    assert drive().reason is Reason.MODE_OFF
    assert (drive.state.is_watching, drive.state.desired) == (True, BETTER)


def test_mode_recommend_advises_what_auto_would_do_and_changes_nothing(drive):
    drive.policy = Policy.from_mapping({"mode": "Recommend"})
    advice = drive.until(Reason.BACKLOG)

    assert (advice.action, advice.settings) == (Action.RECOMMEND, BETTER)
    assert not advice.changes_settings
    assert (drive.state.is_watching, drive.state.desired, drive.state.recommended) == (True, START, BETTER)
    assert drive(backlog=0.0) == advice, "it stands while the next window fills"


def test_too_few_requests_are_no_basis(drive):
    quiet = {"requests": 2.0, "busy_seconds_total": 0.1, "backlog": 0.0, "cpu_seconds_total": 0.01}
    drive.policy = Policy.from_mapping({"windows": {"warmUpRequests": 0}})

    assert drive.until(Reason.TOO_FEW_REQUESTS, **quiet).action is Action.HOLD
    for _ in range(200):
        assert drive(**quiet).action is Action.HOLD
    assert drive.state.phase.window.seconds <= 300, "what is old is forgotten"


def test_a_backlog_without_any_finished_request_is_no_basis(drive):
    drive.policy = Policy.from_mapping({"windows": {"warmUpRequests": 0}})
    stuck = {"requests": 0.0, "busy_seconds_total": 5.0, "cpu_seconds_total": 0.0}

    for _ in range(40):
        assert drive(**stuck).action is Action.HOLD


@pytest.mark.parametrize(
    ("policy", "inside"),
    [
        ({"workers": {"min": 3}}, Settings(WorkerClass.SYNC, 3)),
        ({"workerClasses": ["gthread"]}, Settings(WorkerClass.GTHREAD, 1, 1)),
        ({"workerClasses": ["gevent"]}, Settings(WorkerClass.GEVENT, 1, 1, 10)),
    ],
)
def test_settings_outside_of_the_bounds_move_inside_at_once(drive, policy, inside):
    drive.policy = Policy.from_mapping(policy)
    decision = drive(settings=Settings(WorkerClass.SYNC, 1))

    assert (decision.action, decision.reason, decision.settings) == (Action.APPLY, Reason.OUT_OF_BOUNDS, inside)
    kept = drive(settings=inside)
    assert (kept.action, kept.settings) == (Action.KEEP, inside)


def test_a_class_under_which_the_app_may_hang_is_left_at_once(drive):
    patched = {"traits": Traits(patched_by=frozenset({"gevent"})), "settings": Settings(WorkerClass.GTHREAD, 1, 4)}
    assert drive(**patched, available_classes=frozenset()).action is Action.HOLD, "the classes are not known yet"
    decision = drive(**patched)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.CLASS_UNSUITED)
    assert decision.settings == Settings(WorkerClass.GEVENT, 1, 1, 10)


def test_a_class_under_which_the_app_may_hang_stays_if_no_other_is_allowed(drive):
    drive.policy = Policy.from_mapping({"workerClasses": ["gthread"]})
    patched = {"traits": Traits(patched_by=frozenset({"gevent"})), "settings": Settings(WorkerClass.GTHREAD, 1, 4)}
    decision = drive(**patched)

    assert (decision.action, decision.reason) == (Action.HOLD, Reason.CLASS_UNSUITED)


def test_an_oom_kill_shrinks_at_once_even_while_cooling_down(drive):
    big = Settings(WorkerClass.SYNC, 6)
    drive(settings=big)
    decision = drive(settings=big, oom_exits=1.0)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.MEMORY)
    assert decision.settings == Settings(WorkerClass.SYNC, 5)


def test_a_class_that_the_tuner_does_not_know_is_left_alone(drive):
    assert drive(settings=Settings(WorkerClass.TORNADO, 2)).reason is Reason.CLASS_NOT_TUNED


def test_a_clock_that_was_put_back_does_not_stop_the_tuner_for_long(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    drive.now -= 1e6
    for _ in range(4):
        drive.running(BETTER)

    assert drive.state.desired == BETTER
    drive.now -= 1e6
    drive.running(BETTER)
    assert drive.state.history.next_change_at <= drive.now + 30


def test_with_a_corrupt_state_the_tuner_starts_over_and_reports_it(make_observation):
    state = TunerState.from_mapping({"version": 2, "phase": "dancing"})
    state, decisions = step(Policy(), state, {"pod": make_observation()}, 0.0)

    assert [each.reason for each in decisions] == [Reason.STATE_DISCARDED, Reason.WARMING_UP]
    assert step(Policy(), state, {"pod": make_observation()}, 5.0)[1][0].reason is Reason.WARMING_UP


def test_another_image_warms_up_again_and_forgets_the_classes_that_failed(drive):
    drive.until(Reason.BACKLOG)
    drive.running(BETTER)
    drive.running(BETTER, errors=1500.0)
    drive()
    drive.state = drive.state.for_image("shop:1")
    assert drive.state.known.banned, "what the tuner did not know until now is no change"
    drive.state = drive.state.for_image("shop:1")
    assert drive.state.known.banned
    drive.state = drive.state.for_image("shop:2")

    assert (drive.state.known.banned, drive.state.history.reversals, drive.state.desired) == ({}, 0, START)
    assert drive().reason is Reason.WARMING_UP


def test_a_decision_survives_its_json():
    decision = Decision(Action.APPLY, Reason.BACKLOG, "because", BETTER, {"backlog": 63.0})

    assert Decision.from_mapping(json.loads(json.dumps(decision.to_mapping()))) == decision
