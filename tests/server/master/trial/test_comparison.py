from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_server.master.trial.comparison import FEWEST_FAILURES, NONE, Comparison, Requests, log_e_value

SHARES = st.floats(0.001, 0.99)
LOOK_SECONDS = 0.025


def probability(requests, failed, share):
    return math.comb(requests, failed) * share**failed * (1 - share) ** (requests - failed)


def expected_e_value(numbers, truth, assumed):
    """Return the mean e-value of a block over all that both sides may see."""
    of_trial, of_siblings = numbers
    return sum(
        probability(of_trial, failed, truth[0])
        * probability(of_siblings, others, truth[1])
        * math.exp(log_e_value(Requests(failed, of_trial - failed), Requests(others, of_siblings - others), *assumed))
        for failed, others in itertools.product(range(of_trial + 1), range(of_siblings + 1))
    )


@given(st.integers(0, 5), st.integers(0, 5), st.tuples(SHARES, SHARES), st.tuples(SHARES, SHARES))
def test_where_the_trial_fails_no_more_an_e_value_is_one_at_most_on_average(trial, siblings, truth, assumed):
    less, more = sorted(truth)
    low, high = sorted(assumed)

    assert expected_e_value((trial, siblings), (less, more), (high, low)) <= 1 + 1e-9
    assert expected_e_value((trial, siblings), (more, more), (high, low)) <= 1 + 1e-9


class Sides:
    """A trial and its siblings that serve so many requests between two looks, and fail shares of them."""

    def __init__(self, of_trial=6, of_siblings=19, *, excess=0.02, earlier=NONE, seed=1):
        self.comparison = Comparison(excess, earlier)
        self.numbers = of_trial, of_siblings
        self.failures = 0
        self.looks = 0
        self._random = random.Random(seed)  # noqa: S311 (no secret)

    def serve(self, trial_share, siblings_share, looks):
        """Go on for so many looks, or until it is found to do harm; return whether it is."""
        for _ in range(looks):
            self.looks += 1
            sides = [self._requests(*each) for each in zip(self.numbers, (trial_share, siblings_share), strict=True)]
            self.failures += int(sides[0].failed)
            self.comparison.add(*sides, self.looks * LOOK_SECONDS)
            if self.comparison.harms:
                return True
        return False

    def _requests(self, number, share):
        failed = sum(self._random.random() < share for _ in range(number))
        return Requests(failed, number - failed)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.4, 1.0])
def test_chance_ends_no_harmless_trial(share):
    false_alarms = sum(Sides(3, 8, seed=seed).serve(share, share, 100) for seed in range(40))

    assert false_alarms == 0


def test_a_trial_that_fails_less_than_its_siblings_does_no_harm():
    assert not Sides().serve(0.05, 0.3, 300)


@pytest.mark.parametrize("numbers", [(6, 19), (12, 12), (1, 24), (1, 1), (25, 75)])
def test_a_class_that_fails_everything_is_found_after_a_handful_of_failures(numbers):
    sides = Sides(*numbers)

    assert sides.serve(1.0, 0.0, 20)
    assert FEWEST_FAILURES <= sides.failures <= max(12, numbers[0])


@pytest.mark.parametrize(
    ("share", "siblings_share", "most"), [(0.5, 0.0, 15), (0.1, 0.0, 15), (0.04, 0.0, 15), (0.3, 0.1, 150)]
)
def test_a_part_that_fails_is_found_too(share, siblings_share, most):
    sides = Sides()

    assert sides.serve(share, siblings_share, 1500)
    assert sides.failures <= most


def test_harm_that_begins_late_is_found_as_soon():
    sides = Sides()
    assert not sides.serve(0.0, 0.0, 400)

    assert sides.serve(1.0, 0.0, 20)
    assert sides.failures <= 20


def test_what_fails_on_both_sides_at_the_same_time_is_no_evidence():
    sides = Sides()

    assert not sides.serve(0.0, 0.0, 100)
    assert not sides.serve(1.0, 1.0, 100)
    assert not sides.serve(0.3, 0.3, 100)


def test_a_difference_of_less_than_half_of_the_allowed_excess_is_never_harm():
    assert not Sides(20, 60, excess=0.1).serve(0.05, 0.03, 300)


def test_fewer_failures_than_a_client_that_tries_again_may_cause_are_not_harm():
    comparison = Comparison(0.02)
    for look in range(FEWEST_FAILURES):
        assert not comparison.harms
        comparison.add(Requests(1, 0), Requests(0, 1000), float(look))
    assert comparison.harms


def test_where_the_trial_takes_all_requests_earlier_ones_say_what_is_normal():
    starved = Sides(25, 0, earlier=Requests(1, 999))
    assert starved.serve(1.0, 0.0, 3)

    broken = Sides(25, 0, earlier=Requests(900, 100))
    assert not broken.serve(0.9, 0.0, 40)


def test_without_any_request_of_another_worker_there_is_nothing_to_compare_with():
    assert not Sides(25, 0).serve(1.0, 0.0, 40)


def test_few_requests_are_compared_with_those_of_about_the_same_second():
    comparison = Comparison(0.02, Requests(0, 1000))
    for second in range(20):  # both fail, half a second apart
        comparison.add(Requests(1, 0), NONE, second)
        comparison.add(NONE, Requests(1, 0), second + 0.5)

    assert not comparison.harms
    assert comparison.log_evidence < 0
