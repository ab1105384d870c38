from __future__ import annotations

import json

import pytest

from stablehand_server.autotune.pins import Pins
from stablehand_server.autotune.policy import DEFAULT, VARIABLE, from_environment
from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass
from stablehand_tuner.policy import TUNABLE_CLASSES

SYNC, GTHREAD, GEVENT, ASGI = TUNABLE_CLASSES


def policy_of(given, worker_class=SYNC, **fields):
    environ = {VARIABLE: json.dumps(fields)} if fields else {}
    return from_environment(given, worker_class, environ)[0]


def test_what_nobody_gave_may_be_tuned():
    policy, pins = from_environment({}, SYNC, {})

    assert policy == DEFAULT
    assert pins.in_words(VARIABLE) is None


def test_a_given_number_of_workers_is_neither_exceeded_nor_reduced():
    policy = policy_of({"workers": 1})

    assert policy.workers_within(64) == Range(1, 1)
    assert not policy.allows(Settings(GTHREAD, 2, 8))
    assert policy.allows(Settings(GTHREAD, 1, 8))
    assert policy.worker_classes == DEFAULT.worker_classes


def test_a_given_class_is_the_only_one():
    assert policy_of({"worker_class": "sync"}).worker_classes == (SYNC,)
    assert policy_of({"worker_class": "gevent"}, GEVENT).worker_classes == (GEVENT,)


def test_given_threads_stay_and_so_does_the_class_that_has_them():
    four, one = policy_of({"threads": 4}, GTHREAD), policy_of({"threads": 1})

    assert (four.worker_classes, four.threads) == ((GTHREAD,), Range(4, 4))
    assert (one.worker_classes, one.threads) == ((SYNC,), Range(1, 1))


def test_given_connections_bound_the_classes_that_count_them():
    policy = policy_of({"worker_connections": 2000})

    assert policy.worker_connections == Range(2000, 2000)
    assert policy.worker_classes == DEFAULT.worker_classes


@pytest.mark.parametrize(("given", "worker_class"), [("asgi", ASGI), ("tornado", WorkerClass.TORNADO), ("own", None)])
def test_a_given_class_that_the_tuner_never_leaves_needs_no_pin(given, worker_class):
    policy, pins = from_environment({"worker_class": given}, worker_class, {})

    assert policy.worker_classes == DEFAULT.worker_classes
    assert pins == Pins()


@pytest.mark.parametrize(("name", "number"), [("workers", 0), ("workers", 513), ("threads", 1025)])
def test_a_number_that_settings_cannot_express_is_no_bound(name, number):
    assert Pins.of({name: number}) == Pins()


def test_a_bound_in_the_policy_takes_the_place_of_what_was_given():
    given = {"workers": 1, "threads": 4, "worker_connections": 50}

    assert policy_of(given, GTHREAD, workers={"max": 8}).workers_within(64) == Range(1, 8)
    assert policy_of(given, GTHREAD, workers={"max": 8}).threads == Range(4, 4)
    assert policy_of(given, GTHREAD, workerConnections={"max": 200}).worker_connections == Range(10, 200)
    free = policy_of(given, GTHREAD, threads={"max": 16})
    assert (free.threads, free.worker_classes) == (Range(1, 16), DEFAULT.worker_classes)
    assert policy_of(given, GTHREAD, workerClasses=["sync", "gthread"]).worker_classes == (SYNC, GTHREAD)


def test_a_given_class_stays_when_the_policy_frees_only_its_threads():
    policy = policy_of({"worker_class": "gthread", "threads": 4}, GTHREAD, threads={"max": 16})

    assert (policy.threads, policy.worker_classes) == (Range(1, 16), (GTHREAD,))


def test_one_sentence_says_what_stays_and_how_to_let_the_tuner_choose():
    sentence = from_environment({"worker_class": "sync", "workers": 1}, SYNC, {})[1].in_words(VARIABLE)

    assert sentence is not None
    assert "worker class sync, workers 1." in sentence
    example = json.loads(sentence.partition(f"{VARIABLE}='")[2].rstrip("'"))
    freed = policy_of({"worker_class": "sync", "workers": 1}, **example)
    assert freed.worker_classes == (SYNC, GTHREAD, GEVENT)
    assert freed.workers_within(8) == DEFAULT.workers_within(8)
