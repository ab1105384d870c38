from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass
from stablehand_tuner.policy import InvalidPolicy, Mode, Objective, Policy


def test_an_empty_policy_is_valid_and_tunes_automatically():
    policy = Policy.from_mapping({})

    assert policy == Policy()
    assert policy.mode is Mode.AUTO
    assert policy.worker_classes == (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI)


def test_a_policy_survives_its_json():
    policy = Policy.from_mapping(
        {
            "mode": "Recommend",
            "objective": "cost",
            "changesPerHour": 3,
            "freeze": True,
            "workers": {"min": 2, "max": 8},
            "threads": {"max": 16},
            "workerConnections": {"min": 100},
            "workerClasses": ["gthread", "sync", "gthread"],
            "windows": {"decisionSeconds": 30, "coolDownSeconds": 0},
        }
    )

    assert Policy.from_mapping(policy.to_mapping()) == policy
    assert policy.worker_classes == (WorkerClass.SYNC, WorkerClass.GTHREAD)
    assert (policy.objective, policy.changes_per_hour, policy.frozen) == (Objective.COST, 3, True)
    assert policy.threads == Range(1, 16)
    assert policy.worker_connections == Range(100, 1000)


def test_a_default_never_contradicts_the_bound_that_the_user_wrote():
    policy = Policy.from_mapping({"threads": {"min": 100}, "workerConnections": {"max": 5}})

    assert policy.threads == Range(100, 100)
    assert policy.worker_connections == Range(5, 5)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mode": "auto"}, "mode is 'auto'; known are Off, Recommend, Auto"),
        ({"mode": ["Auto"]}, r"mode is \['Auto'\]"),
        ({"objective": "Cost"}, "objective is 'Cost'; known are latency, throughput, cost"),
        ({"changesPerHour": 0}, "changesPerHour is 0, but must be 1 to 1000"),
        ({"changesPerHour": 2.5}, "changesPerHour must be a whole number, not 2.5"),
        ({"freeze": "yes"}, "freeze must be true or false, not 'yes'"),
        ({"speed": 3}, "unknown field 'speed'"),
        ({"workers": {"low": 3}}, "unknown field 'workers.low'"),
        ({"workers": 3}, "workers must be an object, not 3"),
        ({"workers": {"min": 0}}, "workers.min is 0, but must be 1 to 512"),
        ({"workers": {"max": 513}}, "workers.max is 513, but must be 1 to 512"),
        ({"workers": {"min": True}}, "workers.min must be a whole number, not True"),
        ({"workers": {"min": 2.0}}, "workers.min must be a whole number, not 2.0"),
        ({"workers": {"min": 3, "max": 2}}, "workers.min is 3, but workers.max is 2: min must not exceed max"),
        ({"threads": {"min": 9, "max": 8}}, "threads.min is 9, but threads.max is 8"),
        ({"workerConnections": {"min": 9, "max": 8}}, "workerConnections.min is 9"),
        ({"workerClasses": []}, "workerClasses must be a list with at least one of"),
        ({"workerClasses": "sync"}, "workerClasses must be a list with at least one of"),
        (
            {"workerClasses": ["tornado"]},
            "workerClasses has 'tornado'; the tuner chooses among sync, gthread, gevent, asgi",
        ),
        ({"workerClasses": [{}]}, "workerClasses has {}"),
        ({"workerClasses": ["sync"], "threads": {"min": 2}}, "threads.min is 2, but workerClasses allows only sync"),
        ({"windows": []}, "windows must be an object"),
        ({"windows": {"trial": 3}}, "unknown field 'windows.trial'"),
        ({"windows": {"trialSeconds": 0}}, "windows.trialSeconds is 0, but must be more than 0"),
        ({"windows": {"coolDownSeconds": -1}}, "windows.coolDownSeconds is -1, but must be 0 and"),
        ({"windows": {"trialSeconds": "20"}}, "windows.trialSeconds must be a number, not '20'"),
        ({"windows": {"trialSeconds": float("nan")}}, "windows.trialSeconds must be a number, not nan"),
        ({"windows": {"trialSeconds": float("inf")}}, "windows.trialSeconds must be a number, not inf"),
        ({"windows": {"trialSeconds": 10**400}}, "windows.trialSeconds must be a number, not 1000"),
        ({"windows": {"trialSeconds": 1e7}}, "windows.trialSeconds is 10000000.0, but must be"),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence_that_names_the_field(fields, sentence):
    with pytest.raises(InvalidPolicy, match=sentence):
        Policy.from_mapping(fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Policy().to_mapping(), "other"]), JSON, max_size=4))
def test_no_json_raises_anything_but_invalid_policy(fields):
    try:
        policy = Policy.from_mapping(fields)
    except InvalidPolicy:
        return
    assert Policy.from_mapping(policy.to_mapping()) == policy


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        (Settings(WorkerClass.GTHREAD, 2, 8), True),
        (Settings(WorkerClass.GTHREAD, 1, 8), False),
        (Settings(WorkerClass.GTHREAD, 5, 8), False),
        (Settings(WorkerClass.GTHREAD, 2, 17), False),
        (Settings(WorkerClass.GEVENT, 2, 1, 100), False),
        (Settings(WorkerClass.SYNC, 2, 1, 100_000), True),
    ],
)
def test_bounds_and_classes_decide_what_is_allowed(settings, allowed):
    policy = Policy.from_mapping(
        {"workers": {"min": 2, "max": 4}, "threads": {"min": 2, "max": 16}, "workerClasses": ["sync", "gthread"]}
    )

    assert policy.allows(settings) is allowed


def test_the_computed_bound_of_workers_never_exceeds_64_nor_undercuts_the_users():
    assert Policy().workers_within(1000) == Range(1, 64)
    assert Policy.from_mapping({"workers": {"min": 4}}).workers_within(2) == Range(4, 4)
    assert Policy.from_mapping({"workers": {"max": 100}}).workers_within(2) == Range(1, 100)
