"""The tests of the canary: how often they cry wolf is found by simulation, with many more looks than a canary has."""

from __future__ import annotations

import json
import math
import random

import pytest

from stablehand_tuner.evidence.sequential import RATIOS, CountTest, MeanTest

ALPHA = 0.05
RUNS = 400
# three standard deviations of a binomial above what is promised: chance does not fail the test, a wrong formula does
MOST_FALSE = RUNS * ALPHA + 3 * math.sqrt(RUNS * ALPHA * (1 - ALPHA))


def seeded(number):
    return random.Random(number)  # noqa: S311 (a simulation, not a secret)


def binomial(chance, requests, share):
    return sum(chance.random() < share for _ in range(requests))


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_equal_sides_rarely_differ_however_often_one_looks_and_whatever_the_load(share):
    chance = seeded(1)
    false = 0
    for _ in range(RUNS):
        test = CountTest()
        for look in range(40):
            # the error rate and the load both rise in the middle, on both sides
            now = share if look < 20 else min(1.0, 2 * share)
            requests, others = (20, 60) if look < 20 else (40, 90)
            test = test.add(binomial(chance, requests, now), requests, binomial(chance, others, now), others)
            if test.e_value >= 1 / ALPHA:
                false += 1
                break

    assert false <= MOST_FALSE


def test_a_side_that_errs_more_is_found_within_a_few_looks():
    chance = seeded(2)
    looks = []
    for _ in range(50):
        test = CountTest()
        for look in range(1, 60):
            test = test.add(binomial(chance, 100, 0.1), 100, binomial(chance, 300, 0.01), 300)
            if test.e_value >= 1 / ALPHA:
                looks.append(look)
                break

    assert len(looks) == 50
    assert sorted(looks)[25] <= 2


def test_fewer_events_than_elsewhere_are_no_evidence_of_more():
    test = CountTest()
    for _ in range(50):
        test = test.add(1, 100, 30, 300)

    assert test.e_value < 0.01


def test_without_events_or_without_requests_there_is_no_evidence():
    assert CountTest().add(0, 100, 0, 300) == CountTest().add(5, 0, 5, 100) == CountTest()
    assert CountTest().e_value == 1.0


def test_a_million_events_overflow_nothing():
    test = CountTest().add(1e6, 1e6, 0, 1e6).add(1e9, 1e9, 0, 1e9)

    assert test.e_value > 1e100
    assert CountTest.from_list(json.loads(json.dumps(test.to_list()))) == test


@pytest.mark.parametrize("deviation", [0.05, 1.0])
def test_a_mean_at_its_bound_rarely_differs_from_it_however_often_one_looks(deviation):
    chance = seeded(3)
    above = below = 0
    for _ in range(RUNS):
        test = MeanTest()
        crossed = set()
        for _ in range(60):
            test = test.add(chance.gauss(0.2, deviation))
            crossed |= {"above"} if test.above(0.2) >= 1 / ALPHA else set()
            crossed |= {"below"} if test.below(0.2) >= 1 / ALPHA else set()
        above += "above" in crossed
        below += "below" in crossed

    assert above + below <= MOST_FALSE


def test_a_mean_below_the_bound_is_never_evidence_that_it_is_above():
    chance = seeded(4)
    false = 0
    for _ in range(RUNS):
        test = MeanTest()
        for _ in range(40):
            test = test.add(chance.gauss(0.0, 1.0))
            if test.above(0.3) >= 1 / ALPHA:
                false += 1
                break

    assert false <= MOST_FALSE


def test_samples_that_agree_are_convincing_after_six_and_never_after_two():
    test = MeanTest().add(0.5).add(0.51)

    assert test.above(0.2) < 20
    for _ in range(4):
        test = test.add(0.5)
    assert test.above(0.2) > 80
    assert test.below(0.8) > 80
    assert (test.above(0.8), test.below(0.2)) == (0.0, 0.0)


def test_samples_without_any_spread_are_finite_evidence():
    test = MeanTest()
    for _ in range(5000):
        test = test.add(0.1)

    assert math.isfinite(test.above(0.0))
    assert max(test.above(0.1), test.below(0.1)) <= 1.0
    assert MeanTest().below(1.0) == MeanTest().above(-1.0) == 0.0


@pytest.mark.parametrize("values", [[0.0] * (len(RATIOS) - 1), ["x"] * len(RATIOS), [math.nan] * len(RATIOS), 3])
def test_a_corrupt_count_test_is_refused(values):
    with pytest.raises((ValueError, TypeError)):
        CountTest.from_list(values)


@pytest.mark.parametrize("values", [[1.0, 2.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, math.inf], ["x", 1, 1]])
def test_a_corrupt_mean_test_is_refused(values):
    with pytest.raises((ValueError, TypeError)):
        MeanTest.from_list(values)


def test_a_mean_test_survives_its_json():
    test = MeanTest().add(0.25).add(-1.5)

    assert MeanTest.from_list(json.loads(json.dumps(test.to_list()))) == test
