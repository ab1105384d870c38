from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import THREADS, WORKER_CONNECTIONS, WORKERS, InvalidSettings, WorkerClass
from stablehand_tuner.contracts.trial import (
    FAILED_SHARES,
    IDS,
    LATE_SECONDS,
    SECONDS,
    UNSERVED_SECONDS,
    Guard,
    Trial,
    TrialOn,
)

GUARD = {"failedShare": 0.02, "lateSeconds": 0.5, "unservedSeconds": 3}
TRIAL = {
    "id": 7,
    "on": "worker",
    "workerClass": "gevent",
    "threads": 1,
    "workerConnections": 100,
    "seconds": 20,
    "guard": GUARD,
}
ON_ALL = {**TRIAL, "on": "all", "workers": 3}


@st.composite
def any_trial(draw):
    worker_class, on = draw(st.sampled_from(WorkerClass)), draw(st.sampled_from(TrialOn))
    return Trial(
        draw(st.integers(IDS.lowest, IDS.highest)),
        worker_class,
        1 if worker_class is WorkerClass.SYNC else draw(st.integers(THREADS.lowest, THREADS.highest)),
        draw(st.integers(WORKER_CONNECTIONS.lowest, WORKER_CONNECTIONS.highest)),
        draw(st.floats(*SECONDS)),
        Guard(draw(st.floats(*FAILED_SHARES)), draw(st.floats(*LATE_SECONDS)), draw(st.floats(*UNSERVED_SECONDS))),
        on,
        draw(st.integers(WORKERS.lowest, WORKERS.highest)) if on is TrialOn.ALL else 1,
    )


@given(any_trial())
def test_a_trial_survives_its_json(trial):
    assert Trial.from_mapping(trial.to_mapping()) == trial


def test_a_trial_says_what_a_server_would_run_if_it_were_confirmed():
    assert str(Trial.from_mapping(TRIAL).settings(workers=4)) == "gevent 4 × 100"


def test_a_trial_on_one_worker_has_no_other_number_of_workers():
    trial = Trial.from_mapping(ON_ALL)

    assert (trial.on, trial.workers) == (TrialOn.ALL, 3)
    with pytest.raises(InvalidSettings, match="trial: workers is 3, but the trial is on one worker"):
        dataclasses.replace(trial, on=TrialOn.WORKER)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": 0}, "trial.id is 0, but must be 1 to 9007199254740991"),
        ({"id": "7"}, "trial.id must be a whole number, not '7'"),
        ({"id": True}, "trial.id must be a whole number, not True"),
        ({"workerClass": "puma"}, "trial: workerClass is 'puma'"),
        ({"workerClass": "sync", "threads": 2}, "trial: threads is 2, but a sync worker"),
        ({"threads": 0}, "trial: threads is 0, but must be 1 to 1024"),
        ({"seconds": 0.5}, "trial.seconds is 0.5, but must be 1 to 3600"),
        ({"seconds": float("nan")}, "trial.seconds is nan|trial.seconds must be a number, not nan"),
        ({"seconds": None}, "trial.seconds must be a number, not None"),
        ({"workers": 2}, "unknown field 'workers' of trial; known are id, on, workerClass"),
        ({"on": "some"}, "trial.on is 'some', but must be one of worker, all"),
        ({"on": ["all"]}, r"trial.on is \['all'\], but must be one of worker, all"),
        ({"on": "all"}, "workers of trial missing"),
        ({"on": "all", "workers": 0}, "trial: workers is 0, but must be 1 to 512"),
        ({"guard": None}, "trial.guard must be a JSON object, not NoneType"),
        ({"guard": {**GUARD, "memory": 1}}, "unknown field 'memory' of trial.guard; known are failedShare"),
        ({"guard": {"failedShare": 0.1}}, "lateSeconds, unservedSeconds of trial.guard missing"),
        ({"guard": {**GUARD, "failedShare": 0}}, "trial.guard.failedShare is 0, but must be 0.001 to 1"),
        ({"guard": {**GUARD, "lateSeconds": "1"}}, "trial.guard.lateSeconds must be a number, not '1'"),
        ({"guard": {**GUARD, "unservedSeconds": 601}}, "trial.guard.unservedSeconds is 601, but must be 0.5 to 600"),
    ],
)
def test_what_is_wrong_with_a_trial_is_said_naming_the_field(change, sentence):
    with pytest.raises(InvalidSettings, match=sentence):
        Trial.from_mapping({**TRIAL, **change})


@pytest.mark.parametrize(
    ("trial", "missing"), [*((TRIAL, each) for each in TRIAL), *((ON_ALL, each) for each in ON_ALL if each != "on")]
)
def test_every_field_is_needed(trial, missing):
    with pytest.raises(InvalidSettings, match=f"{missing} of trial missing"):
        Trial.from_mapping({name: value for name, value in trial.items() if name != missing})
