"""States that were stored by version 3, one flat object, go on where they were."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.doubt import Doubt
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Change,
    LowDemand,
    Recheck,
    RollingBack,
    Trial,
    Watching,
)
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp, Window
from stablehand_tuner.model.footprint import Footprint
from stablehand_tuner.model.kinds import Kinds
from stablehand_tuner.model.known import Known
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
BETTER = Settings(WorkerClass.GTHREAD, 2, 48)
CHANGE = Change(SYNC_1, BETTER, Decision(Action.APPLY, Reason.BACKLOG, "because", BETTER, {"backlog": 63.0}))
BACK = Decision(Action.ROLL_BACK, Reason.TRIAL_LATENCY, "slower", SYNC_1)
FINE = Decision(Action.HOLD, Reason.WELL_TUNED, "fine")
NOTHING = {
    "version": 3,
    "phase": "watching",
    "since": None,
    "settings": SYNC_1.to_mapping(),
    "target": None,
    "change": None,
    "canary": None,
    "baseline": None,
    "doubt": None,
    "window": None,
    "windowMissing": 0,
    "windowScrapes": 0,
    "warmSince": None,
    "warmRequests": 0.0,
    "nextChangeAt": None,
    "changes": [],
    "reversals": 0,
    "direction": 0,
    "share": None,
    "shrinkSince": None,
    "shrinkSlots": 0,
    "shrinkWorkers": 0,
    "footprint": [0.0, 0.0, 0.0, 0.0, 0.0],
    "kinds": [None],
    "memoryCeiling": 0,
    "banned": {},
    "refused": [],
    "verdict": None,
    "image": None,
    "note": "",
}


@pytest.fixture
def stored(make_observation):
    """Return a function that gives an object as version 3 wrote it in a phase of a change."""
    under_way = {
        "since": 100.0,
        "target": BETTER.to_mapping(),
        "change": CHANGE.decision.to_mapping(),
        "baseline": make_observation().to_mapping(),
    }
    return lambda phase, **fields: TunerState.from_mapping({**NOTHING, **under_way, "phase": phase, **fields})


@pytest.fixture
def doubt(make_observation):
    return Doubt(BETTER, CHANGE.decision.evidence, make_observation(settings=BETTER), Reason.TRIAL_LATENCY)


@pytest.fixture
def stored_doubt(doubt):
    tried, reason = doubt.observed.to_mapping(), doubt.reason.value
    return {"change": CHANGE.decision.to_mapping(), "tried": tried, "reason": reason}


def test_everything_that_was_learned_is_kept(make_observation):
    read = TunerState.from_mapping(
        {
            **NOTHING,
            "window": make_observation().to_mapping(),
            "windowMissing": 1,
            "windowScrapes": 4,
            "warmSince": 5.0,
            "warmRequests": 7.5,
            "nextChangeAt": 300.0,
            "changes": [1.0, 2.0],
            "reversals": 2,
            "direction": -1,
            "share": 0.25,
            "shrinkSince": 50.0,
            "shrinkSlots": 8,
            "shrinkWorkers": 2,
            "footprint": [1.0, 2.0, 3.0, 0.0, 0.0],
            "kinds": [[0.1, 0.5], [0.2, 0.6]],
            "memoryCeiling": 96,
            "banned": {"gevent": "TrialLag"},
            "refused": [BETTER.to_mapping()],
            "verdict": FINE.to_mapping(),
            "image": "shop:1",
        }
    )

    assert read == TunerState(
        Watching(SYNC_1, Window(make_observation(), 1, 4), FINE, LowDemand(50.0, 8, 2)),
        Known(
            {WorkerClass.GEVENT: Reason.TRIAL_LAG},
            (BETTER,),
            Footprint(1.0, 2.0, 3.0),
            Kinds(((0.2, 0.6),), (0.1, 0.5)),
            96,
        ),
        History((1.0, 2.0), 300.0, 2, -1, 0.25),
        WarmUp(5.0, 7.5),
        "shop:1",
    )


def test_a_canary_goes_on(stored, make_observation):
    comparison = Comparison.against(make_observation())
    fields = {"pod": "pod-1", "settings": BETTER.to_mapping(), "comparison": comparison.to_mapping()}
    applying, running = stored("canary_applying", canary=fields), stored("canary", canary=fields, windowMissing=1)

    assert applying.phase == CanaryApplying(100.0, CHANGE, "pod-1", make_observation())
    assert running.phase == CanaryRunning(100.0, CHANGE, "pod-1", make_observation(), comparison, Window(missing=1))
    assert stored("applying", canary=fields).phase == Applying(100.0, CHANGE, make_observation(), pod="pod-1")


def test_a_change_of_all_pods_goes_on(stored, stored_doubt, make_observation):
    seen, baseline = make_observation(settings=BETTER), make_observation()

    assert stored("applying", baseline=None).phase == Applying(100.0, CHANGE)
    assert stored("applying", doubt=stored_doubt).phase == Applying(100.0, CHANGE, baseline, is_second_try=True)
    assert stored("trial", window=seen.to_mapping()).phase == Trial(100.0, CHANGE, baseline, Window(seen))
    assert stored("trial", doubt=stored_doubt).phase == Trial(100.0, CHANGE, baseline, is_second_try=True)


def test_a_roll_back_goes_on(stored, stored_doubt, doubt):
    back = {"target": SYNC_1.to_mapping(), "change": BACK.to_mapping(), "baseline": None}

    assert stored("rolling_back", **back).phase == RollingBack(100.0, SYNC_1, BACK)
    assert stored("rolling_back", **back, doubt=stored_doubt).phase == RollingBack(100.0, SYNC_1, BACK, doubt)
    assert stored("again", **back, doubt=stored_doubt).phase == Recheck(100.0, SYNC_1, BACK, doubt)


def test_an_app_that_was_not_seen_yet_is_as_new():
    assert TunerState.from_mapping({**NOTHING, "settings": None}) == TunerState()


@pytest.mark.parametrize("field", sorted(NOTHING.keys() - {"since", "target", "change", "canary", "baseline", "doubt"}))
def test_with_a_missing_field_the_tuner_starts_over_with_a_note(field):
    assert TunerState.from_mapping({name: value for name, value in NOTHING.items() if name != field}).note


@pytest.mark.parametrize("phase", ["canary_applying", "canary", "applying", "trial", "rolling_back", "again", 3, None])
def test_with_a_phase_without_its_change_the_tuner_starts_over_with_a_note(phase):
    assert TunerState.from_mapping({**NOTHING, "phase": phase}).note
