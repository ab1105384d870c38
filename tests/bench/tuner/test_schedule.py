from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner.schedule import Schedule

BURSTS = Schedule(20, burst_per_second=400, burst_seconds=2, period_seconds=10)


def test_a_fixed_rate_is_evenly_spaced():
    assert list(Schedule(4).arrivals(1)) == [0, 0.25, 0.5, 0.75]


def test_a_burst_ends_each_period():
    assert [BURSTS.rate(at) for at in (0, 7.9, 8, 9.9, 10, 18)] == [20, 20, 400, 400, 20, 400]


def test_bursts_count_in_the_mean_rate():
    assert BURSTS.mean_rate() == pytest.approx(96)
    assert sum(1 for _ in BURSTS.arrivals(100)) == pytest.approx(9600, rel=0.02)


def test_noise_stays_within_its_share_changes_and_is_the_same_for_the_same_seed():
    noisy = Schedule(200, noise=0.2)
    rates = [noisy.rate(at) for at in range(0, 1800, 5)]

    assert all(160 <= rate <= 240 for rate in rates)
    assert len(set(rates)) > 300
    assert max(rates) > 230
    assert min(rates) < 170
    assert rates == [Schedule(200, noise=0.2).rate(at) for at in range(0, 1800, 5)]
    assert rates != [Schedule(200, noise=0.2, seed=2).rate(at) for at in range(0, 1800, 5)]


def test_it_goes_through_a_command_line():
    assert Schedule.from_json(BURSTS.to_json()) == BURSTS


@pytest.mark.parametrize(
    "impossible",
    [
        {"per_second": 0},
        {"per_second": 1, "noise": 1.0},
        {"per_second": 1, "noise": 0.1, "noise_seconds": 0},
        {"per_second": 1, "burst_per_second": 2, "burst_seconds": 3, "period_seconds": 2},
    ],
)
def test_an_impossible_schedule_is_refused(impossible):
    with pytest.raises(BenchError):
        Schedule(**impossible)
