"""The climb: steps of at most twice the slots, until the goal, a knee, or harm; and what is learned from its end."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from stablehand_simulator import App, Machine
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, expect_pods, step
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.phases import Applying, Change, Climbing, RollingBack, Trial, Watching
from stablehand_tuner.lifecycle.window import WarmUp
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.model.ceilings import Ceilings
from stablehand_tuner.model.known import Known
from stablehand_tuner.policy import Mode, Policy
from stablehand_tuner.reasons import Reason

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
SYNC_1 = Settings(SYNC, 1)
THREADS = {"workerClasses": ["sync", "gthread"]}
WAITING = App(compute=0.002, wait=0.2)
LOCK = App(compute=0.001, wait=0.05, process_connections=1)
DATABASE = App(compute=0.002, wait=0.1, pod_connections=20, refused_seconds=0.02)


def test_from_one_slot_a_waiting_app_climbs_to_the_goal_within_thirty_seconds_and_at_most_doubles(bench):
    run = bench(WAITING, SYNC_1, clients=64, policy=THREADS).run(120)
    slots = [1, *(settings.slots for _, settings in run.steps)]
    at = [moment for moment, _ in run.steps]

    assert all(before < after <= 2 * before for before, after in itertools.pairwise(slots))
    assert slots[-1] >= 64
    assert at[-1] - at[0] <= 30
    assert len(run.state.history.began_at) == 1, "a climb is one change, however many steps it takes"
    assert run.state.known.ceilings == Ceilings()


@pytest.mark.parametrize("start", [SYNC_1, Settings(SYNC, 4), Settings(GTHREAD, 1, 4)], ids=str)
def test_a_lock_in_each_process_gets_more_processes_not_more_slots(bench, start):
    run = bench(LOCK, start, clients=64, policy=THREADS).run(150)
    (ceiling,) = run.state.known.ceilings.known

    assert run.settings.workers == 8, "four for each core"
    assert (ceiling.level, ceiling.reason) == (Level.PROCESS, Reason.TRIAL_NO_GAIN)
    assert run.settings.slots_per_worker == ceiling.good <= max(1, start.slots_per_worker)
    assert run.decisions[-1][1].reason in {Reason.AT_CEILING, Reason.WELL_TUNED, Reason.AT_BOUND}
    assert run.state.known.banned == {}


def test_a_climb_ends_before_its_requests_hold_more_memory_than_there_is(bench):
    heavy = App(compute=0.002, wait=0.1, process_bytes=60e6, request_bytes=15e6)
    run = bench(heavy, SYNC_1, clients=64, policy=THREADS, machine=Machine(memory_limit=700e6)).run(150)

    assert run.pods[0].snapshot().oom_exits == 0
    assert 8 <= run.settings.slots < 40


@pytest.mark.parametrize("start", [SYNC_1, Settings(GTHREAD, 2, 4)], ids=str)
def test_a_limit_beyond_which_requests_fail_is_searched_and_remembered(bench, start):
    run = bench(DATABASE, start, clients=64, policy=THREADS).run(150)
    (ceiling,) = run.state.known.ceilings.known
    failing = [settings.slots for _, settings in run.steps if settings.slots > 20]

    assert 16 <= run.settings.slots <= 20
    assert (ceiling.level, ceiling.reason, ceiling.good) == (Level.APP, Reason.TRIAL_ERRORS, run.settings.slots)
    assert 20 < ceiling.bad <= 32
    assert 1 <= len(failing) <= 4
    assert run.state.known.banned == {}, "threads are not what is wrong"
    assert sum(each.errors for each in run.last) == 0
    assert run.decisions[-1][1].reason is Reason.AT_CEILING
    assert "requests fail" in run.decisions[-1][1].message


@pytest.fixture
def climb(make_observation):
    """Return an app in the middle of a climb, whose pod shows what it is told to."""

    class Climb:
        """One pod that runs at once what it should, with requests that wait for 100 ms."""

        def __init__(self):
            self.now, self.state, self.policy = 1000.0, TunerState(), Policy.from_mapping(THREADS)
            self.served = lambda slots: slots / 0.1
            self.running, self.decision = SYNC_1, None

        def tick(self, **changes):
            unseen = changes.pop("unseen", False)
            self.now += self.state.scrape_within or 5.0
            settings, seconds = self.running, self.state.scrape_within or 5.0
            requests = seconds * self.served(settings.slots)
            in_app = min(64.0, settings.slots)
            seen = make_observation(
                **{
                    "settings": settings,
                    "seconds": seconds,
                    "requests": requests,
                    "busy_seconds_total": in_app * seconds,
                    "cpu_seconds_total": requests * 0.0015,
                    "backlog": 64.0 - in_app,
                    **changes,
                }
            )
            stored = json.dumps(self.state.to_mapping())
            assert len(stored) < 8192, "it has to fit into the status of a resource"
            state = TunerState.from_mapping(json.loads(stored))
            self.state, decisions = step(self.policy, state, {"pod": None if unseen else seen}, self.now)
            self.decision = decisions[-1]
            self.running = self.state.desired or self.running
            return self.decision

        def until(self, kind, most=60, **changes):
            for _ in range(most):
                self.tick(**changes)
                if isinstance(self.state.phase, kind):
                    return self.state.phase
            raise AssertionError(f"no {kind} within {most} steps, last: {self.decision.message}")

        def until_step(self, slots, most=60):
            for _ in range(most):
                if isinstance(self.state.phase, Climbing) and self.running.slots == slots:
                    return self.state.phase
                self.tick()
            raise AssertionError(f"no step to {slots} slots within {most}, last: {self.decision.message}")

    return Climb()


def test_every_step_is_a_decision_of_its_own_and_the_trial_at_the_end_is_against_the_beginning(climb):
    phase = climb.until(Climbing)
    assert (climb.decision.action, climb.decision.reason) == (Action.APPLY, Reason.BACKLOG)
    assert climb.decision.settings.slots == 2
    goal = phase.climb.goal
    climb.until_step(4)
    assert climb.decision.reason is Reason.NEXT_STEP
    assert str(goal) in climb.decision.message
    trial = climb.until(Trial)

    assert trial.change.before == SYNC_1
    assert trial.change.target == goal == climb.running
    assert trial.baseline == phase.baseline


def test_the_next_scrape_is_wanted_soon_only_while_it_climbs(climb):
    assert climb.state.scrape_within is None
    climb.until(Climbing)
    assert climb.state.scrape_within == 1.0
    climb.until(Trial)
    assert climb.state.scrape_within is None


def test_the_knee_of_the_first_step_is_rolled_back_and_looked_at_again(climb):
    climb.served = lambda _slots: 10.0
    climb.until(Climbing)
    phase = climb.until(RollingBack)

    assert phase.settings == SYNC_1
    assert phase.decision.reason is Reason.TRIAL_NO_GAIN
    assert phase.doubt is not None, "the load may have changed"


def test_the_knee_of_a_later_step_goes_back_one_step_and_keeps_what_was_gained(climb):
    climb.served = lambda slots: min(slots, 8) / 0.1
    climb.policy = Policy.from_mapping({**THREADS, "workers": {"max": 2}})
    climb.until(Climbing)
    applying = climb.until(Applying)
    assert applying.change.target.slots == 8
    assert climb.decision.reason is Reason.STEP_BACK
    climb.until(Watching)

    assert climb.running.slots == 8
    assert climb.state.history.reversals == 0, "it is no change that was a mistake"
    for _ in range(60):
        assert climb.tick().settings is None
    assert climb.decision.reason is Reason.AT_CEILING


def test_harm_in_the_scrape_in_which_slots_were_added_ends_the_step(climb):
    climb.until_step(8)
    climb.until_step(16)
    decision = climb.tick(steady=False, errors=30.0)

    assert decision.reason is Reason.STEP_BACK
    assert 8 < climb.running.slots < 16, "it is searched between"


def test_a_step_that_a_server_refuses_goes_back_and_is_not_taken_again(climb):
    phase = climb.until_step(8)
    climb.running = phase.climb.best
    climb.tick(switches_rejected=1.0)

    assert climb.running.slots == 4
    assert [each.slots for each in climb.state.known.refused] == [8]
    for _ in range(200):
        climb.tick()
        assert climb.running.slots <= 4 or climb.running.slots > 8


def test_settings_from_outside_end_a_climb_where_they_are(climb):
    climb.served = lambda slots: min(slots, 8) / 0.1  # so that a step lasts longer than one scrape
    climb.until_step(16)
    climb.tick(requests=3.0)
    climb.running = theirs = Settings(GTHREAD, 3, 3)
    assert climb.tick().reason is Reason.SETTINGS_CHANGED_OUTSIDE
    assert isinstance(climb.state.phase, Watching)
    climb.running = theirs
    climb.tick(backlog=0.0)

    assert climb.state.desired == theirs


def test_a_tuner_that_is_switched_off_in_the_middle_leaves_the_step_that_runs(climb):
    climb.until_step(8)
    climb.policy = dataclasses.replace(climb.policy, frozen=True)
    climb.tick()

    assert isinstance(climb.state.phase, Watching)
    assert climb.state.desired.slots == 8


def test_a_step_that_cannot_be_observed_is_given_up(climb):
    climb.until_step(8)
    for _ in range(150):
        climb.tick(unseen=True)
        if not isinstance(climb.state.phase, Climbing):
            break

    assert climb.running.slots == 4
    assert climb.now < 1400


def test_a_load_that_ends_ends_the_climb(climb):
    climb.until_step(8)
    quiet = {"requests": 30.0, "busy_seconds_total": 3.0, "cpu_seconds_total": 0.01, "backlog": 0.0}
    climb.until(Trial, **quiet)

    assert climb.running.slots == 8


def test_more_pods_share_a_ceiling_at_once(make_observation):
    known = Known(ceilings=Ceilings().with_found(Level.APP, Reason.TRIAL_ERRORS, good=16, bad=32, cost=None, now=0.0))
    runs = Settings(GTHREAD, 2, 8)
    state = TunerState(Watching(runs), known, warm_up=WarmUp(0.0, 1e6))
    seen = make_observation(settings=runs, busy_seconds_total=15.0 * 16, requests=2000.0)
    pods = {f"pod-{number}": seen for number in range(4)}
    after, (decision,) = step(Policy(), state, pods, 1000.0)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.SHARED_CEILING)
    assert decision.settings == after.desired == Settings(GTHREAD, 2, 2)
    assert "requests fail" in decision.message
    assert step(Policy(), state, {"pod-0": seen}, 1000.0)[1][0].action is Action.HOLD


def test_pods_to_come_share_a_ceiling_before_they_are_there(make_observation):
    known = Known(ceilings=Ceilings().with_found(Level.APP, Reason.TRIAL_ERRORS, good=16, bad=32, cost=None, now=0.0))
    runs = Settings(GTHREAD, 2, 4)
    change = Change(Settings(GTHREAD, 2, 2), runs, Decision(Action.APPLY, Reason.WAITING_DOMINATES, "more", runs))
    state = TunerState(Applying(0.0, change, None), known, warm_up=WarmUp(0.0, 1e6))
    shared = expect_pods(Policy(), state, 4, 1000.0)
    assert shared is not None
    after, decision = shared
    seen = make_observation(settings=runs, busy_seconds_total=7.0 * 16, requests=2000.0)
    watching = dataclasses.replace(state, phase=Watching(runs))
    _, (same,) = step(Policy(), watching, {"pod-0": seen, "pod-1": seen}, 1000.0, pods=4)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.SHARED_CEILING)
    assert decision.settings == after.desired == same.settings == Settings(GTHREAD, 2, 2)
    assert "4 pods have" in decision.message
    assert expect_pods(Policy(), after, 4, 1000.0) is None
    assert expect_pods(Policy(), state, 2, 1000.0) is None
    for policy in (Policy(mode=Mode.RECOMMEND), Policy(frozen=True)):
        assert expect_pods(policy, state, 4, 1000.0) is None


def test_cores_that_are_full_are_no_ceiling_of_the_process(bench):
    app = App(compute=0.01, wait=0.05)
    run = bench(app, Settings(GTHREAD, 2, 1), clients=64, machine=Machine(cores=1.0), policy=THREADS).run(150)

    assert all(each.level is Level.POD for each in run.state.known.ceilings.known)
    assert run.requests_per_second > 85
