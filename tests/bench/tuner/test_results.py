from __future__ import annotations

import json

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner.results import Cell, Key, Results

HEAD = {"cores": 2}


def test_what_was_measured_is_there_after_an_interruption(tmp_path, cell, tuned):
    written = Results.begin(tmp_path / "new" / "results.jsonl", HEAD)
    first, second = cell("a"), cell("b", tuned=tuned())
    written.add(first)
    written.add(second)

    read = Results.read(tmp_path / "new" / "results.jsonl")

    assert read.cells == [first, second]
    assert read.head["cores"] == 2
    assert read.find(first.key) == first
    assert read.find(Key("contest", "mixed", "64 connections", "a", 2)) is None


def test_a_line_that_was_cut_short_is_dropped_and_writing_goes_on(tmp_path, cell):
    path = tmp_path / "results.jsonl"
    Results.begin(path, HEAD).add(cell("a"))
    with path.open("a") as file:
        file.write('{"phase": "con')
    read = Results.read(path)
    read.add(cell("b"))

    assert [each.contestant for each in Results.read(path).cells] == ["a", "b"]


def test_the_sittings_of_a_run_add_up(tmp_path, cell):
    path = tmp_path / "results.jsonl"
    first = Results.begin(path, HEAD)
    first.end(12.34)
    second = Results.read(path)
    second.add(cell("a"))
    second.end(3.0)

    assert second.head["minutes"] == Results.read(path).head["minutes"] == 15.3


def test_hours_of_results_are_not_overwritten_by_a_new_run(tmp_path, cell):
    path = tmp_path / "results.jsonl"
    Results.begin(path, HEAD).add(cell("a"))
    Results.begin(path, HEAD)

    assert Results.read(path).cells == []
    assert len(Results.read(tmp_path / "results.jsonl.previous").cells) == 1


def test_no_results_and_those_of_another_version_are_errors_that_say_what_to_do(tmp_path):
    path = tmp_path / "results.jsonl"
    with pytest.raises(BenchError, match="without --resume"):
        Results.read(path)
    path.write_text('{"version": 0}\n')
    with pytest.raises(BenchError, match="without --resume"):
        Results.read(path)


def test_a_cell_goes_through_json(cell, tuned):
    told = cell("a", tuned=tuned())

    assert Cell.from_mapping(json.loads(json.dumps(told.to_mapping()))) == told


def test_a_cell_with_other_fields_is_refused_by_name(cell, tuned):
    with pytest.raises(BenchError, match="surplus"):
        Cell.from_mapping({**cell("a").to_mapping(), "surplus": 1})
    lacking = cell("a", tuned=tuned()).to_mapping()
    del lacking["tuned"]["changes"]
    with pytest.raises(BenchError, match="changes"):
        Cell.from_mapping(lacking)


def test_sound_means_served_without_a_failed_request(cell):
    assert cell("a").is_sound
    assert not cell("a", failed=1).is_sound
    assert not cell("a", requests=0).is_sound
    assert not cell("a", note="no cgroup").is_sound


def test_a_run_whose_own_file_is_gone_goes_on_from_what_it_has_published(tmp_path, cell, tuned):
    first = Results.begin(tmp_path / "first.jsonl", HEAD)
    first.add(cell("a", tuned=tuned()))
    first.end(5.0)
    published = json.loads(json.dumps(first.to_mapping()))

    restored = Results.restore(tmp_path / "second.jsonl", published)
    assert restored.to_mapping() == Results.read(tmp_path / "second.jsonl").to_mapping() == published


def test_what_another_version_has_published_is_not_gone_on_with(tmp_path):
    with pytest.raises(BenchError, match="another version"):
        Results.restore(tmp_path / "results.jsonl", {"version": 0, "cells": []})
    assert not (tmp_path / "results.jsonl").exists()
