from __future__ import annotations

import pytest

from stablehand_server.master.trial.change_guard import ChangeGuard
from stablehand_server.master.trial.comparison import Requests
from stablehand_server.master.trial.earlier import Period, Served
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS
from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.contracts.trial import Guard, Trial, TrialOn

TRIAL = Trial(7, WorkerClass.GTHREAD, 32, 1000, 10.0, Guard(0.02, 0.5, 2.0), TrialOn.ALL, 1)
PLACES = len(DURATION_BUCKETS) + 1
AT_FIRST = Served(1000.0, 0.0, 16.0, 0.0, (0.0,) * PLACES, 20.0)


def period(failed=0, good=500, *, late=0.0, long=0.0):
    """Return half a second of requests that took 20 ms, and of such that were inside the app for so many seconds."""
    durations = [0.0] * PLACES
    durations[DURATION_BUCKETS.index(0.02)] = float(failed + good)
    took = (failed + good) * 0.02
    return Period(0.5, Requests(failed, good), tuple(durations), took, took + long, late)


def watch(earlier, at, seconds=12.0):
    """Return the verdict on what has been done at each moment, and when it came; None if there is none."""
    guard, look = ChangeGuard(TRIAL, earlier, AT_FIRST), 0
    guard.begin_time(0.0)
    while look * 0.025 < seconds:
        look += 1
        verdict = guard.look(at(look * 0.025), look * 0.025)
        if verdict is not None:
            return verdict, look * 0.025
    return None


def serving(*, failing=0.0, busy=16.0, late=0.0, per_second=1000.0):
    def at(now):
        return AT_FIRST._replace(
            finished=1000.0 + per_second * now, failed=per_second * failing * now, busy=busy, late=late
        )

    return at


def test_a_third_of_the_requests_that_fails_is_noticed_within_a_tenth_of_a_second():
    verdict, seconds = watch([period()] * 4, serving(failing=1 / 3))

    assert verdict.outcome == "failed"
    assert verdict.why.endswith("requests failed since it began, and 0 of 2000 before")
    assert seconds < 0.1


def test_without_harm_it_ends_when_its_time_is_over():
    verdict, seconds = watch([period()] * 4, serving())

    assert (verdict.outcome, verdict.why) == ("expired", "nobody confirmed it within 10 s")
    assert seconds == pytest.approx(10.0, abs=0.03)


def test_its_time_begins_when_all_workers_are_ready():
    guard = ChangeGuard(TRIAL, [period()], AT_FIRST)
    assert guard.look(serving()(100.0), 100.0) is None
    guard.begin_time(100.0)
    assert guard.look(serving()(109.9), 109.9) is None
    assert guard.look(serving()(110.0), 110.0).outcome == "expired"


@pytest.mark.parametrize(("before", "outcome"), [(0.0, "late"), (0.9, "expired")])
def test_a_loop_that_is_late_ends_it_unless_it_was_before(before, outcome):
    verdict, _ = watch([period(late=before)], serving(late=0.8))
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("earlier", "busy", "outcome"),
    [
        ([period()] * 4, 16.0, "unserved"),
        ([period()] * 4, 0.0, "expired"),
        ([period(good=10, long=500.0)] * 4, 16.0, "expired"),  # long polls: they were there before
        ([], 16.0, "expired"),  # nothing is known of what is usual here
    ],
)
def test_requests_none_of_which_finishes_end_it_unless_that_is_usual(earlier, busy, outcome):
    verdict, _ = watch(earlier, serving(busy=busy, per_second=0.0))
    assert verdict.outcome == outcome


def test_a_database_that_is_down_before_and_meanwhile_ends_nothing():
    verdict, _ = watch([period(), period(failed=500, good=0)], serving(failing=1.0))
    assert verdict.outcome == "expired"
