from __future__ import annotations

import json

import pytest

from stablehand_server.autotune.policy import VARIABLE, WINDOWS, from_environment
from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.policy import Mode, Policy, Windows


def test_without_a_policy_everything_may_be_tuned_with_windows_for_one_machine():
    policy = from_environment(environ={})[0]

    assert policy.mode is Mode.AUTO
    assert policy.windows.decision_seconds < Windows().decision_seconds
    assert Policy.from_mapping(policy.to_mapping()) == policy


def test_a_policy_may_stand_in_the_variable_itself_and_keeps_the_other_defaults():
    text = json.dumps({"workerClasses": ["sync", "gthread"], "threads": {"max": 16}, "windows": {"trialSeconds": 9}})
    policy = from_environment(environ={VARIABLE: text})[0]

    assert policy.worker_classes == (WorkerClass.SYNC, WorkerClass.GTHREAD)
    assert policy.threads.highest == 16
    assert policy.windows.trial_seconds == 9
    assert policy.windows.decision_seconds == WINDOWS.decision_seconds


def test_a_policy_may_stand_in_a_file(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"mode": "Recommend"}')

    assert from_environment(environ={VARIABLE: str(path)})[0].mode is Mode.RECOMMEND


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ('{"mode": "Auto"', "not JSON, or cut short"),
        ("/nowhere/policy.json", "neither a JSON object nor a file: /nowhere/policy.json: No such file"),
        ('{"mode": "auto"}', "mode is 'auto'"),
        ('{"thread": 3}', "unknown field 'thread'"),
        ('{"windows": 3}', "windows must be an object"),
        ('{"windows": {"trialSeconds": -1}}', "windows.trialSeconds is -1"),
    ],
)
def test_a_bad_policy_ends_the_start_with_a_sentence_that_names_variable_and_fault(value, fault):
    with pytest.raises(RuntimeError, match=fault) as error:
        from_environment(environ={VARIABLE: value})

    assert str(error.value).startswith(VARIABLE)


def test_a_file_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text("[]")

    with pytest.raises(RuntimeError, match="a JSON object is needed, not list"):
        from_environment(environ={VARIABLE: str(path)})
