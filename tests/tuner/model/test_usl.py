"""Gunther's law: what it is fitted to comes back, and what it says of apps that were measured."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.model.usl import Scalability, fit

SLOTS = (1, 2, 4, 8, 16, 32, 64)


@given(
    rate=st.floats(0.1, 1e4),
    contention=st.floats(0, 1),
    coherency=st.floats(0, 0.1),
    number=st.integers(3, len(SLOTS)),
)
def test_the_law_that_made_the_points_is_found_again(rate, contention, coherency, number):
    law = Scalability(rate, contention, coherency)
    found = fit([(slots, law.throughput(slots)) for slots in SLOTS[:number]])

    for slots in SLOTS[:number]:
        assert found.throughput(slots) == pytest.approx(law.throughput(slots), rel=1e-4)


POINTS = st.lists(st.tuples(st.integers(1, 1000), st.floats(0.01, 1e5)), max_size=12)


@given(POINTS)
def test_whatever_was_measured_the_law_has_no_negative_part(points):
    law = fit(points)

    assert (law is None) == (len({slots for slots, _ in points}) < 2)
    if law is not None:
        assert law.rate > 0
        assert law.contention >= 0
        assert law.coherency >= 0
        assert law.peak >= 1


def test_without_contention_twice_the_slots_serve_twice_as_many():
    law = fit([(1, 10.0), (2, 20.0), (4, 40.0)])

    assert (law.contention, law.coherency) == pytest.approx((0, 0), abs=1e-6)
    assert law.throughput(32) == pytest.approx(320)
    assert law.peak > 1000


def test_a_lock_is_all_contention():
    """Measured: one lock around 20 ms in the process."""
    law = fit([(slots, 48.0) for slots in SLOTS])

    assert law.contention == pytest.approx(1, abs=0.01)
    assert law.coherency == pytest.approx(0, abs=0.01)


def test_more_of_what_hurts_each_other_has_a_peak():
    """Measured: sixty-four threads that wait and compute serve a tenth fewer requests than thirty-two."""
    law = fit([(2, 20.0), (4, 40.0), (8, 75.0), (16, 154.0), (32, 308.0), (64, 557.0), (128, 476.0)])

    assert law.coherency > 0
    assert 60 <= law.peak < 128
    assert math.isfinite(law.peak)
