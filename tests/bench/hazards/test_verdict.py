from __future__ import annotations

import pytest

from stablehand_bench.hazards import verdict
from stablehand_bench.hazards.catalogue import BY_NAME, Touch
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.contestants import STABLEHAND

BEST = "static gthread 2 × 8"


def only(cells):
    (found,) = verdict.verdicts(cells)
    return found


@pytest.mark.parametrize(
    ("touch", "requests", "most"),
    [(Touch.CEILING, 50_000, 100), (Touch.CEILING, 499, 0), (Touch.CLASS, 50_000, 50), (Touch.NOTHING, 50_000, 0)],
)
def test_what_may_fail_depends_on_what_has_to_be_touched(touch, requests, most):
    assert verdict.allowed(touch, requests) == most


def test_a_tuner_that_keeps_all_goals_has_no_shortfalls(cell, tuned):
    found = only([cell(BEST), cell(STABLEHAND, per_second=95.0, p99_seconds=0.125, tuned=tuned(failed=100))])

    assert found.best.settings == "gthread 2 × 8"
    assert (found.ratio, found.latency_ratio) == (0.95, 1.25)
    assert found.shortfalls == []


@pytest.mark.parametrize(
    ("different", "failed", "said"),
    [
        ({"per_second": 94.0}, 0, "reached 0.94 of the throughput (goal 0.95)"),
        ({"p99_seconds": 0.126}, 0, "has 1.26 times the p99 (goal 1.25)"),
        ({}, 101, "failed 101 of 50,000 requests (at most 100)"),
    ],
)
def test_each_goal_that_is_missed_is_a_shortfall(cell, tuned, different, failed, said):
    found = only([cell(BEST), cell(STABLEHAND, **different, tuned=tuned(failed=failed))])

    assert found.shortfalls == [said]


def test_failed_requests_count_where_there_is_nothing_to_compare_with(cell, tuned):
    found = only([cell(BEST, failed=1), cell(STABLEHAND, tuned=tuned(failed=200))])

    assert found.best is None
    assert [each.split()[0] for each in found.shortfalls] == ["has", "failed"]


def test_a_tuner_that_could_not_be_measured_is_a_shortfall(cell):
    assert only([cell(BEST)]).shortfalls == ["was not measured"]
    ended = cell(STABLEHAND, requests=0, note="the server ended\nwith status 1")
    assert only([cell(BEST), ended]).shortfalls == ["was not measured: with status 1"]


def test_the_better_of_the_candidates_is_the_best(cell):
    assert only([cell("static sync 4", per_second=90.0), cell(BEST)]).best.contestant == BEST


def test_a_hazard_is_seen_where_the_settings_that_break_it_fail(cell, grid_cell):
    breaks = contestants.static(BY_NAME["postgres"].breaks)

    assert only([cell(BEST), grid_cell(breaks, failed=3)]).is_seen
    assert only([cell(BEST), grid_cell(breaks, note="it did not start")]).is_seen
    assert not only([cell(BEST), grid_cell(breaks)]).is_seen
    assert not only([cell(BEST)]).is_seen


def test_a_hazard_that_only_slows_is_seen_in_throughput_or_p99(cell, grid_cell):
    breaks = contestants.static(BY_NAME["lock"].breaks)

    def seen(**different):
        return only([cell(BEST, workload="lock"), grid_cell(breaks, workload="lock", **different)]).is_seen

    assert seen(per_second=49.0)
    assert seen(p99_seconds=0.21)
    assert not seen(per_second=51.0, p99_seconds=0.19)


def test_apps_are_in_the_order_in_which_they_were_measured(cell):
    found = verdict.verdicts([cell(BEST, workload="sqlite"), cell(BEST), cell("static sync 1", workload="sqlite")])

    assert [each.hazard.name for each in found] == ["sqlite", "postgres"]
