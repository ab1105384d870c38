from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import (
    THREADS,
    WORKER_CONNECTIONS,
    WORKERS,
    InvalidSettings,
    Range,
    Settings,
    WorkerClass,
)

GOOD = {"workerClass": "gthread", "workers": 2, "threads": 8, "workerConnections": 1000}


@st.composite
def any_settings(draw):
    worker_class = draw(st.sampled_from(WorkerClass))
    threads = 1 if worker_class is WorkerClass.SYNC else draw(st.integers(THREADS.lowest, THREADS.highest))
    return Settings(
        worker_class,
        draw(st.integers(WORKERS.lowest, WORKERS.highest)),
        threads,
        draw(st.integers(WORKER_CONNECTIONS.lowest, WORKER_CONNECTIONS.highest)),
    )


@given(any_settings())
def test_settings_survive_their_json(settings):
    assert Settings.from_json(settings.to_json()) == settings
    assert json.loads(settings.to_json()) == settings.to_mapping()


@given(any_settings())
def test_slots_are_workers_times_slots_of_one(settings):
    assert settings.slots == settings.workers * settings.slots_per_worker >= 1


@pytest.mark.parametrize(
    ("settings", "slots", "text"),
    [
        (Settings(WorkerClass.SYNC, 4), 4, "sync 4"),
        (Settings(WorkerClass.GTHREAD, 2, 8), 16, "gthread 2 × 8"),
        (Settings(WorkerClass.GEVENT, 3, 1, 100), 300, "gevent 3 × 100"),
        (Settings(WorkerClass.ASGI, 2, 1, 50), 100, "asgi 2 × 50"),
        (Settings(WorkerClass.TORNADO, 3, 4), 3, "tornado 3"),
    ],
)
def test_slots_and_text_follow_the_class(settings, slots, text):
    assert (settings.slots, str(settings)) == (slots, text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"workers": 0}, "workers is 0, but must be 1 to 512"),
        ({"workers": 513}, "workers is 513, but must be 1 to 512"),
        ({"workers": "2"}, "workers must be a whole number, not '2'"),
        ({"workers": True}, "workers must be a whole number, not True"),
        ({"workers": None}, "workers must be a whole number, not None"),
        ({"threads": 1.5}, "threads must be a whole number, not 1.5"),
        ({"threads": 1025}, "threads is 1025, but must be 1 to 1024"),
        ({"workerConnections": -1}, "workerConnections is -1, but must be 1 to 100000"),
        ({"workerClass": "sync"}, "threads is 8, but a sync worker serves one request at a time"),
        ({"workerClass": "fast"}, "workerClass is 'fast'; known are sync"),
        ({"workerClass": ["sync"]}, r"workerClass is \['sync'\]"),
        ({"threadz": 2}, "unknown field 'threadz'"),
    ],
)
def test_a_bad_field_is_refused_with_a_sentence_that_names_it(change, sentence):
    with pytest.raises(InvalidSettings, match=sentence):
        Settings.from_mapping({**GOOD, **change})


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_field_is_needed(name):
    with pytest.raises(InvalidSettings, match=f"{name} missing"):
        Settings.from_mapping({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize("text", ["", "{", json.dumps(GOOD)[:-5], "not json", "\x00"])
def test_a_truncated_file_is_refused(text):
    with pytest.raises(InvalidSettings, match="not JSON, or cut short"):
        Settings.from_json(text)


@pytest.mark.parametrize(("text", "kind"), [("[]", "list"), ("null", "NoneType"), ("3", "int"), ('"sync"', "str")])
def test_json_that_is_no_object_is_refused(text, kind):
    with pytest.raises(InvalidSettings, match=f"a JSON object is needed, not {kind}"):
        Settings.from_json(text)


@given(st.text())
def test_no_text_raises_anything_but_invalid_settings(text):
    try:
        settings = Settings.from_json(text)
    except InvalidSettings:
        return
    assert Settings.from_json(settings.to_json()) == settings


def test_a_range_clamps_to_its_ends_and_includes_them():
    bounds = Range(2, 4)

    assert [bounds.clamp(value) for value in (1, 2, 3, 4, 5)] == [2, 2, 3, 4, 4]
    assert [value in bounds for value in (1, 2, 4, 5)] == [False, True, True, False]
