from __future__ import annotations

import pytest

from stablehand_bench.changing import publish, run
from stablehand_bench.tuner.contestants import STABLEHAND
from stablehand_bench.tuner.results import CONTEST, GRID, Cell, Tuned

TUNED = Tuned(900.0, 10.0, [[1.0, "sync 1"]], [], 7, 0, 1000, 3, 0, 0.0, 8.0)


def cell(contestant, per_second, phase=CONTEST, **different):
    settings = contestant.removeprefix("static ")
    usual = {"per_second": per_second, "requests": 900, "settings": settings, "series": [[200, 100], [100, 50]]}
    return Cell(phase, "flips", run.LOAD, contestant, 1, **{**usual, **different})


@pytest.fixture
def told():
    """The JSON of a run of one script."""
    cells = [
        cell("static sync 1", 999.0, phase=GRID),
        cell("static sync 2", 80.0),
        cell("static gthread 2 × 32", 100.0, failed=1),
        cell(STABLEHAND, 131.0, tuned=TUNED),
    ]
    machine = {
        "processor": "a processor",
        "cores": 2,
        "kernel": "6",
        "python": "3.11",
        "load_average_before": 0.1,
        "commit": "",
    }
    return {
        "machine": machine,
        "plan": {"faster": 1.0},
        "placement": "shared",
        "cells": [each.to_mapping() for each in cells],
    }


def test_the_tuner_is_beside_the_best_that_ran_the_whole_script(told):
    text = publish.section(told)

    assert "| gthread 2 × 32 | 100 | 1 | 131 | 3 | 7 | 1.31 | yes |" in text
    assert "say little" not in text


def test_below_the_goal_and_without_a_measurement_no_goal_is_met(told):
    told["cells"][-1]["per_second"] = 129.0
    assert "| 1.29 | no |" in publish.section(told)
    told["cells"].pop()
    assert "| – | – | – | – | no |" in publish.section(told)


def test_a_rough_check_says_so(told):
    told["plan"]["faster"] = 20.0

    assert "**20 times as fast as the scripts: its numbers say little.**" in publish.section(told)


def test_a_curve_is_smoothed_by_the_seconds_before():
    assert publish.smooth([10, 20, 30, 40, 50, 60]) == [10, 15, 20, 25, 30, 40]


def test_those_who_answered_most_in_time_run_the_whole_script():
    cells = [cell("a", 1.0), cell("b", 3.0), cell("c", 2.0), cell("d", 9.0, note="it did not start")]

    assert run.best(cells, 2) == ["b", "c"]


def test_the_results_are_written_beside_the_page_of_this_repository():
    assert (publish.RESULTS.parents[1] / "bench-changing.md").is_file()
