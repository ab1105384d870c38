from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.state import Phase, TunerState
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
BETTER = Settings(WorkerClass.GTHREAD, 2, 48)


@pytest.fixture
def in_trial(make_observation):
    return TunerState(
        phase=Phase.TRIAL,
        since=100.0,
        settings=SYNC_1,
        target=BETTER,
        change=Decision(Action.APPLY, Reason.BACKLOG, "because", BETTER, {"backlog": 63.0}),
        baseline=make_observation(),
        window=make_observation(settings=BETTER),
        window_missing=2,
        warm_since=5.0,
        warm_requests=7.5,
        next_change_at=300.0,
        reversals=2,
        direction=-1,
        shrink_since=50.0,
        shrink_slots=8,
        banned={WorkerClass.GEVENT: Reason.TRIAL_LAG},
        refused=(Settings(WorkerClass.SYNC, 9),),
        verdict=Decision(Action.HOLD, Reason.WELL_TUNED, "fine"),
        image="shop:1",
    )


def test_a_state_survives_its_json(in_trial):
    for state in (TunerState(), in_trial):
        assert TunerState.from_mapping(json.loads(json.dumps(state.to_mapping()))) == state


def test_a_state_is_small_enough_for_a_status(in_trial):
    assert len(json.dumps(in_trial.to_mapping())) < 8192


def test_an_app_never_seen_before_has_a_fresh_state_without_a_note():
    assert TunerState.from_mapping(None) == TunerState.from_mapping({}) == TunerState()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(TunerState().to_mapping())), JSON)
def test_a_damaged_field_never_raises(field, value):
    fields = TunerState(settings=SYNC_1).to_mapping()
    state = TunerState.from_mapping({**fields, field: value})

    assert state.note or TunerState.from_mapping(state.to_mapping()) == state


@pytest.mark.parametrize("field", sorted(TunerState().to_mapping()))
def test_a_missing_field_begins_anew_with_a_note(in_trial, field):
    fields = in_trial.to_mapping()
    del fields[field]
    state = TunerState.from_mapping(fields)

    assert (state.phase, state.target) == (Phase.WATCHING, None)
    assert "KeyError" in state.note


@pytest.mark.parametrize(
    "changes", [{"version": 1}, {"target": None}, {"phase": "watching"}, {"since": None}, {"change": None}]
)
def test_a_state_that_contradicts_itself_begins_anew_with_a_note(in_trial, changes):
    assert TunerState.from_mapping({**in_trial.to_mapping(), **changes}).note


def test_another_image_ends_a_change_where_it_is(in_trial):
    state = in_trial.for_image("shop:2")

    assert (state.phase, state.settings, state.target, state.image) == (Phase.WATCHING, BETTER, None, "shop:2")
    assert (state.banned, state.refused, state.warm_since) == ({}, (), None)


def test_the_same_image_changes_nothing(in_trial):
    assert in_trial.for_image("shop:1") is in_trial
