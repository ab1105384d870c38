from __future__ import annotations

import pytest

from stablehand_server.master.trial.comparison import Requests
from stablehand_server.master.trial.earlier import Earlier, Served
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS

SHORT, LONG = DURATION_BUCKETS.index(0.02), DURATION_BUCKETS.index(5.0)


def served(finished, failed=0, busy=0.0, late=0.0, long=0):
    durations = [0.0] * (len(DURATION_BUCKETS) + 1)
    durations[SHORT], durations[LONG] = finished - long, float(long)
    return Served(float(finished), float(failed), busy, late, tuple(durations), (finished - long) * 0.02 + long * 5.0)


def test_each_period_has_what_was_served_in_it():
    kept = Earlier()
    kept.note(served(1000, 10), 100.0)
    kept.note(served(1050, 12, busy=4, late=0.1), 100.5)
    kept.note(served(1060, 12, busy=8), 101.0)

    first, second = kept.periods
    assert (first.requests, first.late) == (Requests(2.0, 48.0), 0.1)
    assert (second.requests, second.late) == (Requests(0.0, 10.0), 0.1)
    assert first.busy_seconds == pytest.approx(1.0)
    assert second.busy_seconds == pytest.approx(3.0)


def test_requests_that_took_long_are_told_from_short_ones():
    kept = Earlier()
    kept.note(served(0), 0.0)
    kept.note(served(11, long=1), 0.5)

    (period,) = kept.periods
    assert period.short_seconds(3.0) == pytest.approx(0.2)
    assert period.short_seconds(5.0) == pytest.approx(5.2)


def test_what_is_served_during_a_pause_is_left_out():
    kept = Earlier()
    kept.note(served(0), 0.0)
    kept.pause()
    kept.note(served(500, 500), 5.0)
    assert not kept.periods
    kept.note(served(510, 500), 5.5)

    assert [each.requests for each in kept.periods] == [Requests(0.0, 10.0)]


def test_a_note_is_due_twice_a_second_and_is_kept_for_two_minutes():
    kept = Earlier()
    assert kept.is_due(0.0)
    for half_seconds in range(300):
        kept.note(served(half_seconds), half_seconds / 2.0)
    assert not kept.is_due(149.8)
    assert kept.is_due(150.0)
    assert len(kept.periods) == 241
