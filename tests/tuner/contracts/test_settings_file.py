from __future__ import annotations

import json

import pytest

from stablehand_tuner.contracts.settings import InvalidSettings, Settings, WorkerClass
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.contracts.trial import Guard, Trial

SETTINGS = Settings(WorkerClass.SYNC, 4)
TRIAL = Trial(7, WorkerClass.GEVENT, 1, 100, 20.0, Guard(0.02, 0.5, 3.0))


@pytest.mark.parametrize("trial", [None, TRIAL])
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
