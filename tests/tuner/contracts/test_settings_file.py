from __future__ import annotations

import dataclasses
import json

import pytest

from stablehand_tuner.contracts.settings import InvalidSettings, Settings, WorkerClass
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.contracts.trial import Guard, Trial, TrialOn

SETTINGS = Settings(WorkerClass.SYNC, 4)
TRIAL = Trial(7, WorkerClass.GEVENT, 1, 100, 20.0, Guard(0.02, 0.5, 3.0))
ON_ALL = dataclasses.replace(TRIAL, worker_class=WorkerClass.SYNC, on=TrialOn.ALL, workers=5)


@pytest.mark.parametrize("trial", [None, TRIAL, ON_ALL])
def test_a_file_survives_its_json(trial):
    file = SettingsFile(SETTINGS, trial)

    assert SettingsFile.from_json(file.to_json()) == file
    assert json.loads(file.to_json()) == file.to_mapping()


def test_a_file_without_a_trial_is_what_settings_have_always_been():
    assert SettingsFile(SETTINGS).to_json() == SETTINGS.to_json()


def test_a_server_that_knows_no_trials_refuses_a_file_with_one():
    with pytest.raises(InvalidSettings, match="unknown field 'trial'"):
        Settings.from_json(SettingsFile(SETTINGS, TRIAL).to_json())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "a JSON object is needed"),
        ('{"trial": 1', "cut short"),
        ('{"trail": {}}', "unknown field 'trail'; known are workerClass, workers, threads, workerConnections, trial"),
        ('{"trial": null}', "trial must be a JSON object, not NoneType"),
        (json.dumps({"trial": TRIAL.to_mapping()}), "workerClass, workers, threads, workerConnections missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text, sentence):
    with pytest.raises(InvalidSettings, match=sentence):
        SettingsFile.from_json(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"worker_class": WorkerClass.GTHREAD},
            "trial.workerClass is gthread, but .* has the class that they have, sync",
        ),
        ({"workers": 3}, "trial.workers is 3, but a trial on all workers has as many as without it, 4, or more"),
    ],
)
def test_a_trial_on_all_workers_that_could_not_be_undone_without_a_boot_is_refused(change, sentence):
    with pytest.raises(InvalidSettings, match=sentence):
        SettingsFile(SETTINGS, dataclasses.replace(ON_ALL, **change))
