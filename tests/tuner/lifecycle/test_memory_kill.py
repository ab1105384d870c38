"""A whole server that was killed for its memory: what ran is held against it, though no scrape ever shows it."""

from __future__ import annotations

import dataclasses

import pytest

from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.phases import Applying, CanaryRunning, Change, RollingBack, Trial, Watching
from stablehand_tuner.policy import Mode, Policy
from stablehand_tuner.reasons import Reason

BEFORE = Settings(WorkerClass.GTHREAD, 2, 8)
TARGET = Settings(WorkerClass.GTHREAD, 4, 16)
OTHER = Settings(WorkerClass.GTHREAD, 1, 3)
POLICY = Policy()
NOW = 1_000.0


@pytest.fixture
def calm():
    """The state of an app that runs settings which were kept."""
    return TunerState(Watching(BEFORE))


@pytest.fixture
def begun(calm, make_observation):
    """Return a function that gives the state in a phase of a change that is tried."""
    decision = Decision(Action.APPLY, Reason.WAITING_DOMINATES, "more slots", TARGET)
    begin = {"since": NOW - 5, "change": Change(BEFORE, TARGET, decision)}

    def make(phase, **fields):
        baseline = make_observation(settings=BEFORE)
        return dataclasses.replace(calm, phase=phase(**begin, baseline=baseline, **fields))

    return make


@pytest.fixture
def in_canary(begun):
    return begun(CanaryRunning, pod="canary", comparison=Comparison())


@pytest.mark.parametrize("phase", [Applying, Trial])
def test_a_change_on_trial_is_rolled_back_though_no_pod_is_there_to_be_seen(begun, phase):
    state, (decision,) = step(POLICY, begun(phase), {}, NOW, killed={"pod": TARGET})

    assert (decision.action, decision.reason, decision.settings) == (Action.ROLL_BACK, Reason.TRIAL_MEMORY, BEFORE)
    assert isinstance(state.phase, RollingBack)
    assert state.known.memory_ceiling == TARGET.slots
    assert state.desired == BEFORE


def test_a_server_that_was_killed_on_its_way_to_the_change_speaks_against_the_change(begun):
    _, (decision,) = step(POLICY, begun(Applying), {}, NOW, killed={"pod": BEFORE})
    assert (decision.action, decision.settings) == (Action.ROLL_BACK, BEFORE)


def test_a_canary_is_taken_back_and_its_slots_are_not_tried_again(in_canary):
    state, (decision,) = step(POLICY, in_canary, {}, NOW, canaries=True, killed={"canary": TARGET})
    assert (decision.action, decision.reason, decision.pod) == (Action.ROLL_BACK, Reason.TRIAL_MEMORY, "canary")
    assert state.canary is None
    assert state.known.memory_ceiling == TARGET.slots


def test_a_sibling_of_the_canary_that_is_killed_ends_the_canary_without_blaming_it(in_canary):
    state, (decision,) = step(POLICY, in_canary, {}, NOW, canaries=True, killed={"other": BEFORE})
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, Reason.MEMORY)
    assert state.known.memory_ceiling == BEFORE.slots


def test_settings_that_were_kept_shrink_to_half_at_once(calm):
    state, (decision,) = step(POLICY, calm, {}, NOW, killed={"pod": BEFORE})

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.MEMORY)
    assert decision.settings == dataclasses.replace(BEFORE, workers=1, worker_connections=1000)
    assert state.desired == decision.settings
    assert state.known.memory_ceiling == BEFORE.slots


def test_a_server_that_is_killed_again_and_again_shrinks_until_it_is_as_small_as_it_may_be(calm):
    state, asked = calm, []
    for _ in range(10):
        ran = state.desired
        state, (decision, *_) = step(POLICY, state, {}, NOW, killed={"pod": ran})
        asked.append(state.desired.slots)

    assert asked[:4] == [8, 4, 2, 1]
    assert asked[-1] == 1
    assert decision.action is not Action.ROLL_BACK


def test_bounds_and_classes_of_the_policy_are_kept(calm):
    lowest = Policy(workers_lowest=2, threads=Range(8, 8))
    _, (decision,) = step(lowest, calm, {}, NOW, killed={"pod": BEFORE})
    assert not decision.changes_settings
    only_sync = Policy(worker_classes=(WorkerClass.SYNC,))
    _, (decision,) = step(only_sync, calm, {}, NOW, killed={"pod": BEFORE})
    assert not decision.changes_settings


def test_a_kill_under_settings_that_no_longer_run_only_sets_the_ceiling(calm):
    state, (decision,) = step(POLICY, calm, {}, NOW, killed={"pod": OTHER})

    assert not decision.changes_settings
    assert state.known.memory_ceiling == OTHER.slots


def test_who_only_wants_advice_gets_advice(calm):
    state, (decision,) = step(Policy(mode=Mode.RECOMMEND), calm, {}, NOW, killed={"pod": BEFORE})

    assert (decision.action, decision.reason) == (Action.RECOMMEND, Reason.MEMORY)
    assert state.desired == BEFORE


@pytest.mark.parametrize("policy", [Policy(mode=Mode.OFF), Policy(frozen=True)])
def test_where_nothing_may_be_changed_nothing_is(calm, policy):
    state, (decision,) = step(policy, calm, {}, NOW, killed={"pod": BEFORE})

    assert decision.action is Action.HOLD
    assert state.desired == BEFORE


def test_the_state_after_a_kill_can_be_stored(begun, calm):
    for state in (begun(Trial), calm):
        after, _ = step(POLICY, state, {}, NOW, killed={"pod": state.desired})
        assert TunerState.from_mapping(after.to_mapping()) == after
