from __future__ import annotations

from stablehand_bench.tuner.oracle import Score, best, candidates


def test_the_highest_throughput_wins():
    assert best([Score("slow", 50, 0.01), Score("fast", 100, 0.5)]).name == "fast"


def test_among_those_within_five_percent_the_lowest_latency_wins():
    # A computing app: gevent ties with sync in throughput, at many times its p99.
    scores = [Score("gevent 2 × 1000", 184, 5.4), Score("sync 2", 181, 0.414), Score("gthread 2 × 32", 143, 0.1)]

    assert best(scores).name == "sync 2"


def test_who_is_just_below_five_percent_is_out():
    assert best([Score("first", 100, 0.2), Score("second", 94.9, 0.1)]).name == "first"
    assert best([Score("first", 100, 0.2), Score("second", 95, 0.1)]).name == "second"


def test_of_no_contestants_none_is_the_best():
    assert best([]) is None
    assert candidates([], 3) == []


def test_candidates_are_the_best_and_then_the_best_of_the_others():
    scores = [Score("a", 100, 0.3), Score("b", 98, 0.1), Score("c", 50, 0.01)]

    assert candidates(scores, 2) == ["b", "a"]
    assert candidates(scores, 9) == ["b", "a", "c"]
