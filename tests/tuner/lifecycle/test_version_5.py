"""States that were stored by version 5, before there were trials on one worker, go on where they were."""

from __future__ import annotations

import json

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.model.known import Known
from stablehand_tuner.reasons import Reason


def test_a_state_of_version_5_goes_on_without_trials():
    known = Known({WorkerClass.GEVENT: Reason.TRIAL_LAG})
    found = known.ceilings.with_found(Level.APP, Reason.TRIAL_ERRORS, good=16, bad=32, cost=0.001, now=5.0)
    known = Known(known.banned, ceilings=found)
    state = TunerState(Watching(Settings(WorkerClass.SYNC, 1)), known, History((1.0,)), WarmUp(5.0, 7.5), "shop:1")
    fields = json.loads(json.dumps(state.to_mapping()))
    del fields["known"]["several"], fields["known"]["tries"], fields["history"]["trialId"]

    assert TunerState.from_mapping({**fields, "version": 5}) == state


def test_a_state_of_version_5_that_lacks_something_is_started_afresh():
    fields = {**TunerState().to_mapping(), "version": 5}
    del fields["history"]

    assert "history" in TunerState.from_mapping(fields).note
