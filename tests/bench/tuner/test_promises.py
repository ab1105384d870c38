from __future__ import annotations

import pytest

from stablehand_bench.tuner import promises, summary, workloads
from stablehand_bench.tuner.contestants import DOCUMENTED, STABLEHAND
from stablehand_bench.tuner.results import FLIP, STEADY


def told(cells, part):
    (found,) = [one for one in promises.promises(cells, summary.summarise(cells)) if part in one.text]
    return found


def test_nothing_measured_is_nothing_promised():
    assert promises.promises([], []) == []


def test_settling_tells_the_median_and_the_longest(cell, tuned):
    cells = [cell(STABLEHAND, n, tuned=tuned(settled_seconds=s)) for n, s in enumerate((10.0, 90.0, 30.0))]

    assert told(cells, "settled").seen == "median 30 s, longest 90 s, of 3 runs"
    assert told(cells, "settled").kept
    assert not told([*cells, cell(STABLEHAND, 9, tuned=tuned(settled_seconds=121.0))], "settled").kept


@pytest.mark.parametrize(("times", "kept"), [(5.6, True), (5.4, False)])
def test_the_prize_is_the_geometric_mean_over_its_five_kinds(cell, tuned, times, kept):
    cells = []
    for workload in workloads.ALL:
        if workload.prize:
            cells += [
                cell(STABLEHAND, workload=workload.name, per_second=10.0 * times, tuned=tuned()),
                cell(DOCUMENTED, workload=workload.name, per_second=10.0),
            ]
    # one that has no prize does not count in it
    cells += [cell(STABLEHAND, workload="hello", tuned=tuned()), cell(DOCUMENTED, workload="hello")]

    assert told(cells, "5.5 times").kept is kept
    assert told(cells, "5.5 times").seen == f"{times:.2f} times"


def test_four_of_the_five_kinds_make_no_prize(cell, tuned):
    cells = [cell(STABLEHAND, tuned=tuned()), cell(DOCUMENTED)]

    assert not [one for one in promises.promises(cells, summary.summarise(cells)) if "5.5" in one.text]


def test_the_worst_app_decides_whether_anyone_was_hurt(cell, tuned):
    cells = [cell(STABLEHAND, tuned=tuned()), cell(DOCUMENTED, per_second=20.0)]
    cells += [cell(STABLEHAND, workload="hello", tuned=tuned()), cell(DOCUMENTED, workload="hello", per_second=110.0)]

    assert not told(cells, "never below").kept
    assert "least 0.91 times, hello" in told(cells, "never below").seen


def test_failed_requests_of_all_parts_are_counted(cell, tuned):
    cells = [
        cell(STABLEHAND, tuned=tuned(requests=1000)),
        cell(STABLEHAND, phase=STEADY, tuned=tuned(requests=500, failed=2)),
    ]

    assert told(cells, "no request fails").seen == "2 of 1,500 failed"
    assert not told(cells, "no request fails").kept


def test_a_flip_is_followed_when_its_end_comes_close_to_the_oracle(cell, tuned):
    contest = [
        cell("static gevent 2 × 1000", workload="wait-100", per_second=600.0),
        cell("static sync 2", workload="compute-10", per_second=200.0),
    ]
    flips = [
        cell(STABLEHAND, 1, phase=FLIP, workload="wait-100", per_second=590.0, tuned=tuned(changes=1)),
        cell(STABLEHAND, 2, phase=FLIP, workload="compute-10", per_second=150.0, tuned=tuned(changes=21)),
    ]

    assert told([*contest, *flips], "stretch 1").kept
    assert not told([*contest, *flips], "stretch 2").kept
    assert not told([*contest, *flips], "budget").kept
    assert told([*contest, flips[0]], "budget").kept


def test_a_flip_without_an_oracle_is_not_called_followed(cell, tuned):
    flip = cell(STABLEHAND, 1, phase=FLIP, workload="wait-100", tuned=tuned())

    assert not told([flip], "stretch 1").kept
    assert "no oracle" in told([flip], "stretch 1").seen


def test_a_change_after_settling_breaks_steadiness(cell, tuned):
    def steady(at):
        history = tuned(watched_seconds=1850.0, settled_seconds=at, timeline=[[1.0, "sync 1"], [at, "gthread 2 × 8"]])
        return [cell(STABLEHAND, phase=STEADY, seconds=1800.0, tuned=history)]

    assert told(steady(20.0), "steady").kept
    assert not told(steady(900.0), "steady").kept
    assert "30 minutes" in told(steady(20.0), "steady").text


def test_an_app_that_blocks_in_c_may_be_on_gevent_for_a_trial(cell, tuned):
    def blocking(seconds):
        return [cell(STABLEHAND, workload="blocking-c", tuned=tuned(gevent_seconds=seconds))]

    assert told(blocking(9.0), "blocks in C").kept
    assert not told(blocking(13.0), "blocks in C").kept


def test_a_kill_for_memory_breaks_a_promise(cell, tuned):
    assert told([cell(STABLEHAND, workload="memory", tuned=tuned())], "memory").kept
    assert not told([cell(STABLEHAND, workload="memory", tuned=tuned(killed_for_memory=1))], "memory").kept


@pytest.mark.parametrize(("peak", "kept"), [(32, True), (33, False)])
def test_a_small_pool_sees_at_most_twice_what_the_best_settings_send(cell, tuned, peak, kept):
    cells = [
        cell("static gthread 2 × 8", workload="slow-backend", backend_peak=16),
        cell(STABLEHAND, workload="slow-backend", backend_peak=peak, tuned=tuned()),
    ]

    assert told(cells, "small pool").kept is kept


def test_a_run_that_broke_off_kept_nothing(cell):
    broken = [
        cell(STABLEHAND, 1, phase=FLIP, workload="wait-100", note="the server ended:\nMemoryError"),
        cell(STABLEHAND, 1, phase=STEADY, note="no metrics"),
    ]

    assert (told(broken, "stretch 1").seen, told(broken, "stretch 1").kept) == ("MemoryError", False)
    assert (told(broken, "steady").seen, told(broken, "steady").kept) == ("no metrics", False)
