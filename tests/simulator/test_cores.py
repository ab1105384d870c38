from __future__ import annotations

import math

import pytest

from stablehand_simulator.cores import PERIOD_SECONDS, Cores


def test_all_who_compute_share_the_cores_equally():
    cores = Cores(limit=2, count=2)
    cores.runnable = 4
    cores.advance(1.0)

    assert cores.clock == pytest.approx(0.5)
    assert cores.until(cores.clock + 0.25) == pytest.approx(1.5)


def test_one_of_few_never_gets_more_than_a_core():
    cores = Cores(limit=4, count=4)
    cores.runnable = 1
    cores.advance(1.0)

    assert cores.clock == pytest.approx(1.0)
    assert cores.next_change() == math.inf


def test_a_limit_lets_a_pod_run_at_full_speed_until_its_quota_is_used_and_then_not_at_all():
    cores = Cores(limit=0.5, count=1)
    cores.runnable = 1
    cores.advance(cores.next_change())

    assert cores.clock == pytest.approx(0.5 * PERIOD_SECONDS)
    assert cores.pace == 0.0
    cores.advance(cores.next_change())
    assert cores.throttled_seconds == pytest.approx(0.5 * PERIOD_SECONDS)
    assert cores.pace == 1.0


def test_over_many_periods_a_limited_pod_gets_its_limit():
    cores, now = Cores(limit=1.5, count=4), 0.0
    cores.runnable = 3
    while now < 10.0:
        now = min(10.0, cores.next_change())
        cores.advance(now)

    assert cores.clock * 3 == pytest.approx(15.0, rel=0.01)


def test_a_pod_that_idles_is_not_throttled_however_low_its_limit():
    cores = Cores(limit=0.1, count=4)
    cores.advance(50.0)

    assert cores.throttled_seconds == 0.0
    assert cores.pace == 1.0
