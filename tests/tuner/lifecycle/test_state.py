"""The state and its JSON: every phase survives, what is corrupt or contradicts itself is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_simulator import App, Pod
from stablehand_tuner.contracts import trial as contract
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.climb import Climb
from stablehand_tuner.lifecycle.doubt import Doubt
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Change,
    Climbing,
    LowDemand,
    Recheck,
    RollingBack,
    Trial,
    Watching,
    WorkerTrial,
)
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp, Window
from stablehand_tuner.model.ceiling import Ceiling, Level
from stablehand_tuner.model.ceilings import Ceilings
from stablehand_tuner.model.footprint import Footprint
from stablehand_tuner.model.kinds import Kinds
from stablehand_tuner.model.known import Known
from stablehand_tuner.model.tries import Tries
from stablehand_tuner.observe.observation import observe
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
BETTER = Settings(WorkerClass.GTHREAD, 2, 48)


def ten_seconds(settings):
    """Return what ten seconds of a simulated pod show."""
    pod = Pod(App(compute=0.001, wait=0.05), settings, clients=8)
    pod.run_until(5.0)
    earlier = pod.snapshot()
    pod.run_until(15.0)
    return observe(earlier, pod.snapshot())


BASELINE, UNDER_CHANGE = ten_seconds(SYNC_1), ten_seconds(BETTER)
WINDOW = Window(UNDER_CHANGE, missing=2, scrapes=9)
CHANGE = Change(SYNC_1, BETTER, Decision(Action.APPLY, Reason.BACKLOG, "because", BETTER, {"backlog": 63.0}))
BACK = Decision(Action.ROLL_BACK, Reason.TRIAL_LATENCY, "slower", SYNC_1)
DOUBT = Doubt(BETTER, {"backlog": 63.0}, UNDER_CHANGE, Reason.TRIAL_LATENCY)
AIM = dataclasses.replace(CHANGE.decision, settings=Settings(WorkerClass.GTHREAD, 2, 64))
CLIMB = Climb.begin(AIM, SYNC_1, BASELINE).went_on(BETTER, UNDER_CHANGE)
COMPARISON = Comparison.against(BASELINE).add(UNDER_CHANGE, BASELINE, settled=True)
TRY = contract.Trial(7, WorkerClass.GTHREAD, 48, 1000, 44.0, contract.Guard(0.02, 0.5, 3.0))
PHASES = {
    "new": Watching(),
    "watching": Watching(
        SYNC_1, Window(BASELINE, 1, 4), Decision(Action.HOLD, Reason.WELL_TUNED, "fine"), LowDemand(50.0, 8, 2)
    ),
    "a worker tries it": WorkerTrial(
        100.0, CHANGE, "pod-1", BASELINE, TRY, own_settings=True, comparison=COMPARISON, window=WINDOW, canary="pod-1"
    ),
    "a worker tries a climb's first step": WorkerTrial(
        100.0, CHANGE, "pod-1", BASELINE, TRY, own_settings=False, comparison=Comparison(), aim=AIM
    ),
    "canary applying": CanaryApplying(100.0, CHANGE, "pod-1", BASELINE),
    "canary running": CanaryRunning(100.0, CHANGE, "pod-1", BASELINE, COMPARISON, WINDOW),
    "applying": Applying(100.0, CHANGE, BASELINE),
    "applying without a trial": Applying(100.0, CHANGE),
    "applying what a canary tried": Applying(100.0, CHANGE, BASELINE, pod="pod-1"),
    "applying a second time": Applying(100.0, CHANGE, BASELINE, is_second_try=True),
    "canary of a climb's first step": CanaryApplying(100.0, CHANGE, "pod-1", BASELINE, AIM),
    "climbing": Climbing(100.0, CHANGE, BASELINE, CLIMB, SYNC_1, Window(BASELINE), Window()),
    "climbing what a canary tried": Climbing(100.0, CHANGE, BASELINE, CLIMB, SYNC_1, pod="pod-1"),
    "trial": Trial(100.0, CHANGE, BASELINE, WINDOW),
    "second trial": Trial(100.0, CHANGE, BASELINE, WINDOW, is_second_try=True),
    "rolling back": RollingBack(100.0, SYNC_1, BACK),
    "rolling back in doubt": RollingBack(100.0, SYNC_1, BACK, DOUBT),
    "recheck": Recheck(100.0, SYNC_1, BACK, DOUBT, WINDOW),
}
CEILINGS = Ceilings((Ceiling(Level.APP, Reason.TRIAL_ERRORS, 16, 32, None, 1e9, 2),))
STATES = {
    name: TunerState(
        phase,
        Known(
            {WorkerClass.GEVENT: Reason.TRIAL_LAG},
            (BETTER,),
            Footprint(1.0, 2.0, 3.0),
            Kinds(((0.1, 0.5),)),
            96,
            CEILINGS,
            Reason.TRIAL_ANSWERS,
            Tries().after("gevent", cost=0.001, now=5.0),
        ),
        History((1.0, 2.0), 300.0, 2, -1, 0.25, 7),
        WarmUp(5.0, 7.5),
        "shop:1",
    )
    for name, phase in PHASES.items()
}

every_state = pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())


@every_state
def test_a_state_survives_its_json_and_is_small_enough_for_a_status(state):
    text = json.dumps(state.to_mapping())

    assert TunerState.from_mapping(json.loads(text)) == state
    assert len(text) < 8192


def test_an_app_never_seen_before_has_a_fresh_state_without_a_note():
    assert TunerState.from_mapping(None) == TunerState.from_mapping({}) == TunerState()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(fields, depth=3):
    """Return the path of every field of a JSON object, and of the objects in it."""
    found = []
    for name, value in fields.items():
        found.append((name,))
        if isinstance(value, dict) and depth > 1:
            found += [(name, *inner) for inner in paths(value, depth - 1)]
    return found


def replaced(fields, path, *value):
    """Return the object with another value at the path, or without one."""
    name, *inner = path
    kept = {each: old for each, old in fields.items() if each != name}
    if inner:
        return {**kept, name: replaced(fields[name], inner, *value)}
    return {**kept, name: value[0]} if value else kept


@given(st.data())
def test_a_corrupt_field_never_raises(data):
    fields = data.draw(st.sampled_from(list(STATES.values()))).to_mapping()
    path = data.draw(st.sampled_from(paths(fields)))
    state = TunerState.from_mapping(replaced(fields, path, data.draw(JSON)))

    assert state.note or TunerState.from_mapping(json.loads(json.dumps(state.to_mapping()))) == state


@every_state
def test_with_a_missing_field_the_tuner_starts_over_with_a_note(state):
    fields = state.to_mapping()
    for path in [(name,) for name in fields] + [("phase", name) for name in fields["phase"]]:
        read = TunerState.from_mapping(replaced(fields, path))

        assert read == TunerState(note=read.note)
        assert "KeyError" in read.note


NOT_NULL = [
    (name, path)
    for name, state in STATES.items()
    for path in paths(state.to_mapping()["phase"], 1)
    if path[0] not in {"standing", "lowDemand", "pod", "settings", "baseline", "aim", "canary"}
    and "rolling back" not in name
    and ("climbing" not in name or path[0] != "trial")
]


@pytest.mark.parametrize(("name", "path"), NOT_NULL, ids=str)
def test_with_a_phase_without_what_it_needs_the_tuner_starts_over_with_a_note(name, path):
    assert TunerState.from_mapping(replaced(STATES[name].to_mapping(), ("phase", *path), None)).note


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("trial", ("version",), 1),
        ("trial", ("version",), 7),
        ("a worker tries it", ("phase", "trial", "guard"), {}),
        ("a worker tries it", ("phase", "ownSettings"), 1),
        ("watching", ("known", "several"), "Perhaps"),
        ("watching", ("known", "tries"), [["gevent", 0, 1.0, None]]),
        ("watching", ("history", "trialId"), -1),
        ("trial", ("phase", "name"), "dancing"),
        ("trial", ("phase", "name"), "recheck"),
        ("trial", ("phase", "baseline"), None),
        ("trial", ("phase", "decision", "settings"), None),
        ("canary running", ("phase", "baseline"), None),
        ("canary running", ("phase", "window", "missing"), -1),
        ("applying what a canary tried", ("phase", "baseline"), None),
        ("applying what a canary tried", ("phase", "isSecondTry"), True),
        ("applying a second time", ("phase", "baseline"), None),
        ("rolling back in doubt", ("phase", "decision", "settings"), None),
        ("watching", ("history", "direction"), 2),
        ("watching", ("known", "memoryCeiling"), True),
        ("watching", ("known", "ceilings"), [{}]),
        ("climbing", ("phase", "climb", "aim", "settings"), None),
        ("climbing", ("phase", "climb", "searches"), -1),
    ],
)
def test_with_a_state_that_contradicts_itself_the_tuner_starts_over_with_a_note(name, path, value):
    assert TunerState.from_mapping(replaced(STATES[name].to_mapping(), path, value)).note


@pytest.mark.parametrize(
    "make",
    [
        lambda: Change(SYNC_1, BETTER, BACK),
        lambda: RollingBack(100.0, SYNC_1, CHANGE.decision),
        lambda: Recheck(100.0, SYNC_1, CHANGE.decision, DOUBT),
        lambda: Applying(100.0, CHANGE, None, pod="pod-1"),
        lambda: Applying(100.0, CHANGE, None, is_second_try=True),
        lambda: Applying(100.0, CHANGE, BASELINE, pod="pod-1", is_second_try=True),
    ],
)
def test_a_phase_that_cannot_be_cannot_be_made(make):
    with pytest.raises(ValueError, match="a change"):
        make()


@every_state
def test_one_pod_runs_what_a_canary_tries_and_all_others_what_is_desired(state):
    canary, tried = state.canary, state.phase
    if isinstance(tried, WorkerTrial):
        assert canary == (Canary("pod-1", SYNC_1, TRY) if tried.own_settings else None)
        assert (state.trial, state.desired) == (TRY, SYNC_1)
        return
    is_canary = isinstance(tried, CanaryApplying | CanaryRunning) or getattr(tried, "pod", None) is not None

    assert canary == (Canary("pod-1", BETTER) if is_canary else None)
    if isinstance(tried, CanaryApplying | CanaryRunning):
        assert state.desired == SYNC_1
    elif isinstance(tried, Applying | Trial):
        assert state.desired == BETTER


def test_a_recommendation_that_stands_is_what_is_recommended():
    advice = Decision(Action.RECOMMEND, Reason.WAITING_DOMINATES, "more", BETTER)

    assert TunerState(Watching(SYNC_1, standing=advice)).recommended == BETTER
    assert TunerState(Watching(SYNC_1)).recommended == SYNC_1
    assert TunerState(PHASES["trial"]).recommended == BETTER


@every_state
def test_another_image_ends_a_change_where_it_is(state):
    fresh = state.for_image("shop:2")

    history = History(began_at=(1.0, 2.0), trial_id=7)
    assert fresh == TunerState(Watching(state.desired), history=history, image="shop:2")


@every_state
def test_the_same_image_changes_nothing(state):
    assert state.for_image("shop:1") is state


@every_state
def test_no_moment_stays_in_the_future_when_the_clock_is_set_back(state):
    back = state.not_after(0.5, longest_wait=30.0)
    moments = [getattr(back.phase, "since", 0.0), back.warm_up.since, *back.history.began_at]
    if isinstance(back.phase, Watching) and back.phase.low_demand is not None:
        moments.append(back.phase.low_demand.since)

    assert max(moments) <= 0.5
    assert back.history.next_change_at == 30.5
    known = dataclasses.replace(state.known, ceilings=back.known.ceilings)
    assert [each.until for each in known.ceilings.known] == [0.5 + 7200], "found twice: it holds for two hours"
    assert dataclasses.replace(state, phase=back.phase, known=known, warm_up=back.warm_up, history=back.history) == back
