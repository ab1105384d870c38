from __future__ import annotations

import dataclasses

import pytest

from stablehand_operator.names import SETTINGS_ANNOTATION
from stablehand_operator.pods import Pod
from stablehand_operator.rollout import own_settings
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.contracts.trial import Guard, Trial
from stablehand_tuner.lifecycle.canary import Canary

THREADS = Settings(WorkerClass.GTHREAD, 2, 8)
CANARY = Canary("shop-1", THREADS)


@pytest.fixture
def pod(make_pod):
    """Return a maker of pods, with settings of their own or without."""
    plain = Pod.from_object(make_pod())

    def make(name, own=None, **fields):
        annotations = {} if own is None else {SETTINGS_ANNOTATION: own}
        return dataclasses.replace(plain, name=name, annotations=annotations, **fields)

    return make


def named(changes):
    return [(pod.name, value) for pod, value in changes]


def test_only_the_canary_gets_settings_of_its_own(pod):
    changes = own_settings([pod("shop-0"), pod("shop-1"), pod("shop-2")], CANARY)

    assert named(changes) == [("shop-1", THREADS.to_json())]


def test_what_one_worker_tries_is_in_the_settings_of_its_pod(pod):
    trial = Trial(7, WorkerClass.GEVENT, 1, 100, 44.0, Guard(0.02, 0.5, 3.0))
    changes = own_settings([pod("shop-0"), pod("shop-1")], Canary("shop-1", THREADS, trial))

    assert named(changes) == [("shop-1", SettingsFile(THREADS, trial).to_json())]


def test_what_is_as_it_should_be_is_left_alone(pod):
    assert own_settings([pod("shop-0"), pod("shop-1", THREADS.to_json())], CANARY) == []


def test_without_a_canary_no_pod_keeps_settings_of_its_own(pod):
    assert named(own_settings([pod("shop-0"), pod("shop-1", THREADS.to_json())], None)) == [("shop-1", None)]


def test_a_former_canary_loses_its_settings_when_another_begins(pod):
    changes = own_settings([pod("shop-0", THREADS.to_json()), pod("shop-1")], CANARY)

    assert named(changes) == [("shop-0", None), ("shop-1", THREADS.to_json())]


def test_a_pod_that_is_going_needs_nothing(pod):
    assert own_settings([pod("shop-1", deleting=True)], CANARY) == []


def test_the_server_can_read_what_the_canary_gets(pod):
    ((_, value),) = own_settings([pod("shop-1")], CANARY)

    assert Settings.from_json(value) == THREADS
