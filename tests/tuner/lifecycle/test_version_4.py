"""States that were stored by version 4, before there were climbs and ceilings, go on where they were."""

from __future__ import annotations

import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import Applying, CanaryApplying, CanaryRunning, Change, Trial, Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp
from stablehand_tuner.model.ceilings import Ceilings
from stablehand_tuner.model.known import Known
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
BETTER = Settings(WorkerClass.GTHREAD, 2, 48)
CHANGE = Change(SYNC_1, BETTER, Decision(Action.APPLY, Reason.BACKLOG, "because", BETTER, {"backlog": 63.0}))
KNOWN = Known({WorkerClass.GEVENT: Reason.TRIAL_LAG}, (BETTER,), memory_ceiling=96)


def phases(baseline):
    return {
        "watching": Watching(SYNC_1),
        "canary applying": CanaryApplying(100.0, CHANGE, "pod-1", baseline),
        "canary running": CanaryRunning(100.0, CHANGE, "pod-1", baseline, Comparison.against(baseline)),
        "applying": Applying(100.0, CHANGE, baseline),
        "trial": Trial(100.0, CHANGE, baseline),
    }


def as_version_4(state):
    """Return what version 4 wrote of a state: the same without what it did not have."""
    fields = json.loads(json.dumps(state.to_mapping()))
    del fields["known"]["ceilings"], fields["known"]["several"], fields["known"]["tries"], fields["history"]["trialId"]
    fields["phase"].pop("aim", None)
    return {**fields, "version": 4}


@pytest.mark.parametrize("name", ["watching", "canary applying", "canary running", "applying", "trial"])
def test_a_state_of_version_4_goes_on_without_ceilings(make_observation, name):
    phase = phases(make_observation())[name]
    state = TunerState(phase, KNOWN, History((1.0,), 300.0), WarmUp(5.0, 7.5), "shop:1")

    assert TunerState.from_mapping(as_version_4(state)) == state
    assert state.known.ceilings == Ceilings()


def test_a_state_of_version_4_that_lacks_something_is_started_afresh(make_observation):
    fields = as_version_4(TunerState(phases(make_observation())["trial"]))
    del fields["known"]["footprint"]

    assert "footprint" in TunerState.from_mapping(fields).note


def test_a_state_of_a_later_version_is_not_taken_for_one_of_version_4(make_observation):
    fields = {**TunerState(Watching(SYNC_1)).to_mapping(), "version": 7}

    assert "version" in TunerState.from_mapping(fields).note
