from __future__ import annotations

import pytest

from stablehand_bench.hazards import publish
from stablehand_bench.hazards.catalogue import BY_NAME
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.contestants import STABLEHAND


@pytest.fixture
def told(cell, grid_cell, tuned):
    """The JSON of a small run, in which the tuner fell short once."""
    cells = [
        grid_cell(contestants.static(BY_NAME["postgres"].breaks), failed=7, failures={"reset": 2, "status_500": 5}),
        cell("static gthread 2 × 8"),
        cell(STABLEHAND, per_second=50.0, settings="sync 8", tuned=tuned(failed=1000), failures={"status_500": 1000}),
        cell("static sync 5", workload="lock"),
    ]
    machine = {"processor": "a processor", "cores": 2, "kernel": "6", "python": "3.11", "versions": {"gunicorn": "27"}}
    return {
        "machine": {**machine, "load_average_before": 0.1, "commit": "abc1234"},
        "plan": {"tuning": 120, "measured": 20, "candidate_measured": 8},
        "placement": "server and load share 2 cores",
        "minutes": 7.0,
        "cells": [each.to_mapping() for each in cells],
    }


def test_the_page_says_which_commit_was_measured(told):
    assert "commit abc1234." in publish.section(told)
    told["machine"]["commit"] = ""
    assert "commit unknown." in publish.section(told)


def test_each_app_has_a_row_with_the_best_static_settings_and_the_tuner(told):
    line = next(line for line in publish.section(told).splitlines() if line.startswith("| one PostgreSQL"))

    assert "| gthread 2 × 8 | 100 | 100 | sync 8 | 50 | 100 | 0.50 | 1.00 | 1,000 of 50,000 | 100 | 0 | 10 |" in line
    assert line.endswith("| no |")


def test_the_page_states_where_the_tuner_falls_short_and_of_what_kind_the_failures_are(told):
    text = publish.section(told)

    assert "- postgres: reached 0.50 of the throughput (goal 0.95); failed 1,000 of 50,000 requests" in text
    assert "Failed: 1,000 × status_500. Its last word: it stays [TrialPassed]." in text
    assert "- lock: was not measured." in text


def test_the_page_states_what_the_hazard_does_to_static_settings(told):
    text = publish.section(told)

    assert "| gthread 2 × 64 | 100 | 100 | 5 × status_500, 2 × reset | yes |" in text
    assert "| one lock around 20 ms in each process | gthread 1 × 64 | – | – | – | not measured |" in text


def test_every_row_of_a_table_is_as_wide_as_its_head(told):
    tables = [block for block in publish.section(told).split("\n\n") if block.startswith("|")]

    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_results_are_written_into_the_page_and_beside_it(told, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_DOCS", tmp_path)
    monkeypatch.setattr(publish, "_PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("<!-- results -->\nold\n<!-- end of results -->\n")
    publish.write(told)

    assert publish.section(told) in (tmp_path / "page.md").read_text()
    assert (tmp_path / "bench" / "hazards.json").exists()
