from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.observe import histogram

BUCKETS = ((0.1, 50.0), (0.2, 100.0), (0.4, 100.0), (math.inf, 100.0))


def test_a_quantile_is_interpolated_within_its_bucket():
    assert histogram.quantile(BUCKETS, 0.25) == pytest.approx(0.05)
    assert histogram.quantile(BUCKETS, 0.75) == pytest.approx(0.15)
    assert histogram.quantile(BUCKETS, 1.0) == pytest.approx(0.2)
    assert histogram.quantile_bucket(BUCKETS, 0.75) == (0.1, 0.2)


def test_beyond_the_last_bound_a_quantile_is_that_bound():
    assert histogram.quantile(((0.1, 0.0), (math.inf, 10.0)), 0.5) == 0.1


@pytest.mark.parametrize("buckets", [(), ((0.1, 0.0), (math.inf, 0.0))])
def test_without_any_count_there_is_no_quantile(buckets):
    assert histogram.quantile(buckets, 0.5) is None
    assert histogram.quantile_bucket(buckets, 0.5) is None


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=10).filter(any), st.floats(0, 1))
def test_a_quantile_lies_in_its_bucket(counts, share):
    cumulative = [sum(counts[: place + 1]) for place in range(len(counts))]
    buckets = (*((0.1 * (place + 1), float(count)) for place, count in enumerate(cumulative)), (math.inf, 1e4))
    value = histogram.quantile(buckets, share)
    lower, upper = histogram.quantile_bucket(buckets, share)

    assert lower <= value <= upper + 1e-9


def test_a_difference_never_falls_with_the_bound():
    earlier = ((0.1, 5.0), (0.2, 5.0), (math.inf, 5.0))
    later = ((0.1, 9.0), (0.2, 8.0), (math.inf, 9.0))

    assert histogram.subtract(later, earlier) == ((0.1, 4.0), (0.2, 4.0), (math.inf, 4.0))


def test_a_histogram_that_fell_or_changed_its_buckets_has_no_difference():
    assert histogram.subtract(BUCKETS[:1], BUCKETS) is None
    assert histogram.subtract(((0.1, 1.0),), ((0.1, 2.0),)) is None
