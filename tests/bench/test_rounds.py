from __future__ import annotations

import pytest

from stablehand_bench.rounds import Spread, interleaved, ratios


def test_each_round_measures_everyone_once_and_begins_with_another_one():
    order = []

    def measure(name):
        order.append(name)
        return len(order)

    results = interleaved(["a", "b", "c"], 4, measure)

    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b", "a", "b", "c"]
    assert results == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


def test_ratios_are_taken_within_a_round():
    # Where the machine was three times as slow for both in one round, nobody was slower than the other.
    assert ratios([98.0, 32.0, 99.0], [100.0, 32.0, 90.0]) == Spread(pytest.approx(1.0), 0.98, pytest.approx(1.1))


def test_a_spread_is_shown_as_median_and_range():
    assert Spread.of([3.0, 1.0, 2.0]).text(1) == "2.0 [1.0–3.0]"
    assert Spread.of([1234.0]).text() == "1,234 [1,234–1,234]"
