from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablehand_tuner.observe.gil import erlang_b, share_without_gil_wait


@pytest.mark.parametrize(
    ("servers", "load", "blocked"), [(1, 1.0, 0.5), (2, 1.0, 0.2), (10, 5.0, 0.018385), (1, 0.0, 0.0)]
)
def test_erlangs_formula_gives_its_known_values(servers, load, blocked):
    assert erlang_b(servers, load) == pytest.approx(blocked, abs=1e-6)


@pytest.mark.parametrize(
    ("share", "requests"),
    [(0.02, 1), (0.02, 10), (0.1, 4), (0.1, 10), (0.3, 2), (0.3, 4), (0.5, 1), (0.5, 2), (0.8, 1)],
)
def test_the_share_is_found_from_how_busy_the_process_is(share, requests):
    """The formula, there and back, where the process is not full."""
    utilization = 1 - erlang_b(requests, 1 / share - 1)

    assert share_without_gil_wait(requests, utilization) == pytest.approx(share, rel=0.001)


@pytest.mark.parametrize(
    ("in_app", "utilization", "share"),
    # two processes of the measured app that computes 2.8 ms and waits 35 ms, at 2 × 8, 2 × 16 and 2 × 32 threads
    [(5.4, 0.44, 0.08), (10.5, 0.74, 0.08), (15.5, 0.87, 0.08)],
)
def test_a_busier_process_does_not_pass_for_a_waiting_one(in_app, utilization, share):
    assert share_without_gil_wait(in_app, utilization) == pytest.approx(share, rel=0.25)


@given(st.floats(0, 500), st.floats(0, 1.2))
def test_a_share_is_always_a_share(in_app, utilization):
    assert 0 <= share_without_gil_wait(in_app, utilization) <= 1


def test_a_full_process_with_many_requests_is_not_taken_for_a_computing_one():
    assert share_without_gil_wait(28, 1.0) < 0.1
