"""Counting latencies, and results that travel as JSON."""

from __future__ import annotations

import json
import random
import statistics
from collections import Counter

import pytest

from stablehand_dev.load import FailureExample, Latencies, LoadResult, Second


def latencies(*seconds: float):
    measured = Latencies()
    for each in seconds:
        measured.record(each)
    return measured


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_within_one_percent_of_the_exact_one(share: float):
    chance = random.Random(1)  # noqa: S311 (a fixed sample, no secret)
    sample = [chance.lognormvariate(-3, 1) for _ in range(5000)]
    exact = statistics.quantiles(sample, n=100, method="inclusive")[int(share * 100) - 1]
    assert latencies(*sample).quantile(share) == pytest.approx(exact, rel=0.01)


def test_no_latency_has_no_quantile_and_one_latency_is_every_quantile():
    assert Latencies().quantile(0.99) is None
    assert latencies(0.1).quantile(0.01) == pytest.approx(0.1, rel=0.01)
    assert latencies(0.0).quantile(0.5) < 1e-5


def test_a_result_survives_the_way_through_json():
    result = LoadResult(
        seconds=2.0,
        completed=3,
        failures=Counter(reset=1),
        connects=2,
        examples=[FailureExample(0.5, "reset", "by peer")],
        series=[Second(0, 1, 1, latencies(0.1)), Second(1, 2, 0, latencies(0.1, 0.2))],
    )
    assert LoadResult.from_mapping(json.loads(result.to_json())) == result


def test_a_part_of_a_run_has_the_throughput_and_latency_of_its_own_seconds():
    result = LoadResult(series=[Second(at, at, 0, latencies(*[0.1 * at] * at)) for at in range(4)])
    part = result.between(2, 4)
    assert (part.completed, part.requests_per_second) == (5, 2.5)
    assert part.p99 == pytest.approx(0.3, rel=0.01)


def test_the_sentence_for_people_names_throughput_latency_and_failures():
    text = str(LoadResult(2.0, 10, Counter(reset=2), series=[Second(0, 10, 2, latencies(0.1))]))
    assert "5.0/s" in text
    assert "p99 100 ms" in text
    assert "2 × reset" in text
