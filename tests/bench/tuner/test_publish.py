from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import publish
from stablehand_bench.tuner.contestants import DOCUMENTED, GEVENT, STABLEHAND


@pytest.fixture
def run(cell, tuned):
    """The JSON of a small run, in which the tuner fell short once."""
    cells = [
        cell("static gthread 2 × 32", settings="gthread 2 × 32"),
        cell(STABLEHAND, per_second=80.0, settings="gthread 2 × 32", tuned=tuned()),
        cell(DOCUMENTED, per_second=20.0),
        cell(GEVENT, requests=0, note="no gevent here"),
    ]
    machine = {"processor": "a processor", "cores": 2, "kernel": "6", "python": "3.11", "versions": {"gunicorn": "27"}}
    return {
        "machine": {**machine, "load_average_before": 0.1},
        "plan": {"quick": False, "rounds": 1},
        "placement": "server and load share 2 cores",
        "minutes": 7.0,
        "cells": [each.to_mapping() for each in cells],
    }


def test_the_page_has_each_app_beside_its_oracle(run):
    line = next(line for line in publish.section(run).splitlines() if line.startswith("| 30 % computing"))

    assert "| gthread 2 × 32 | 100 [100–100] | 100 [100–100] | gthread 2 × 32 | 0.80 [0.80–0.80] |" in line
    assert line.endswith("| 10 | 0 | no |")


def test_the_page_states_where_it_falls_short_and_the_tuners_last_decision(run):
    text = publish.section(run)

    assert "- mixed, 64 connections: reached 0.80 of the oracle's throughput (goal 0.95)." in text
    assert "Its last word: it stays [TrialPassed]." in text


def test_the_page_has_everyone_and_the_reason_of_who_did_not_run(run):
    text = publish.section(run)

    assert "| gunicorn, 2n+1 | 20 [20–20] |" in text
    assert "| gunicorn, gevent 2n+1 | no gevent here |" in text
    assert "| **geometric mean** |  | – | 4.00 |" in text


def test_a_quick_run_is_distinguished_from_a_full_one(run):
    assert "quick run" not in publish.section(run)
    run["plan"]["quick"] = True
    assert "quick run" in publish.section(run)


def test_a_run_that_has_not_come_to_its_last_round_says_so(run):
    assert "1 interleaved rounds" in publish.section(run)
    run["plan"]["rounds"] = 3
    assert "1 of 3 interleaved rounds" in publish.section(run)
    further = {**run["cells"][1], "round": 2}
    run["cells"] += [further, {**further, "round": 1, "workload": "hello"}]
    assert "1 to 2 of 3 interleaved rounds" in publish.section(run)


def test_a_run_without_cells_has_no_tables(run):
    run["cells"] = []

    assert "|" not in publish.section(run)


def test_every_row_of_a_table_is_as_wide_as_its_head(run):
    tables = [block for block in publish.section(run).split("\n\n") if block.startswith("|")]

    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_page_without_marks_stays_as_it_is(run, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_DOCS", tmp_path)
    monkeypatch.setattr(publish, "_PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("text\n")
    run["cells"] = []
    with pytest.raises(BenchError, match="marks"):
        publish.write(run)

    assert (tmp_path / "page.md").read_text() == "text\n"
    assert (tmp_path / "bench" / "tuner.json").exists()


def test_the_results_are_written_beside_the_page_of_this_repository():
    assert (publish.RESULTS.parents[1] / "bench-tuner.md").is_file()
