from __future__ import annotations

import random

import pytest

from stablehand_server.master.trial.before_and_after import BeforeAndAfter
from stablehand_server.master.trial.comparison import Requests

EXCESS = 0.02
LOOK_SECONDS = 0.025


def earlier(*periods):
    """Return what was served before, as numbers of failed and good requests."""
    return [Requests(float(failed), float(good)) for failed, good in periods]


def requests(chance, number, share):
    failed = sum(chance.random() < share for _ in range(number))
    return Requests(float(failed), float(number - failed))


def failures_until_found(before, share, *, per_look=10, looks=400, quiet_looks=0, quiet_share=0.0, seed=1):
    """Return how many requests fail until that is found; None if it never is."""
    chance, comparison, failed = random.Random(seed), BeforeAndAfter(EXCESS, before), 0.0  # noqa: S311 (no secret)
    for look in range(quiet_looks + looks):
        served = requests(chance, per_look, share if look >= quiet_looks else quiet_share)
        failed += served.failed
        comparison.add(served, look * LOOK_SECONDS)
        if comparison.harms:
            return failed
    return None


@pytest.mark.parametrize(
    ("before", "share", "most"),
    [
        (earlier((0, 1000)), 1.0, 10),
        (earlier((0, 1000)), 0.33, 10),
        (earlier((0, 60)), 0.33, 25),
        (earlier(*[(0, 20)] * 100), 0.33, 25),
        (earlier(*[(5, 495)] * 10), 0.33, 25),
        (earlier(*[(50, 50)] * 20), 1.0, 60),
        (earlier(*[(0, 500)] * 60), 0.05, 20),
    ],
)
def test_more_failures_than_before_are_found_after_few(before, share, most):
    found = [failures_until_found(before, share, seed=seed) for seed in range(20)]
    assert None not in found
    assert sorted(found)[17] <= most


def test_failures_that_begin_after_a_while_are_found_as_well():
    found = [failures_until_found(earlier((0, 3000)), 0.33, quiet_looks=1200, seed=seed) for seed in range(3)]
    assert None not in found
    assert max(found) <= 25


@pytest.mark.parametrize(
    ("before", "share"),
    [
        ([], 1.0),
        (earlier((0, 0), (0, 0)), 1.0),
        (earlier(*[(0, 500)] * 20, (500, 0)), 1.0),  # a database that is down, since a moment ago
        (earlier(*[(0, 500)] * 20, (200, 0), *[(0, 500)] * 20), 1.0),  # and one that was down a while ago
        (earlier((500, 500)), 0.5),
        (earlier((0, 5000)), 0.0),
        (earlier(*[(0, 500)] * 20), 0.008),  # less than half of the excess that would be harm
    ],
)
def test_what_has_failed_like_that_before_and_what_is_little_is_no_harm(before, share):
    assert failures_until_found(before, share) is None


@pytest.mark.parametrize("share", [0.003, 0.05, 0.5])
def test_chance_ends_at_most_one_of_a_thousand_harmless_changes(share):
    chance, alarms = random.Random(7), 0  # noqa: S311 (no secret)
    for _ in range(700):
        comparison = BeforeAndAfter(EXCESS, [requests(chance, 30, share) for _ in range(10)])
        for look in range(25):
            comparison.add(requests(chance, 6, share), look * 0.1)
        alarms += comparison.harms
    assert alarms <= 2


def test_four_failures_prove_nothing():
    comparison = BeforeAndAfter(EXCESS, earlier((0, 100_000)))
    for number in range(5):
        assert not comparison.harms
        comparison.add(Requests(1.0, 0.0), float(number))
    assert comparison.harms
