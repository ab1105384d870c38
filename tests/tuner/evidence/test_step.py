"""What a step of a climb shows: a gain, none, enough, or harm; and how many requests that takes."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.evidence.step import Outcome, early_harm, judge
from stablehand_tuner.reasons import Reason

BEFORE, AFTER = Settings(WorkerClass.GTHREAD, 2, 4), Settings(WorkerClass.GTHREAD, 2, 8)


@pytest.fixture
def seen(make_observation):
    """Return a function: what some settings show for a number of requests per second in so many seconds."""

    def see(settings, rate, *, seconds=2.0, demand=64.0, cores_used=0.1, **changes):
        in_app = min(demand, settings.slots)
        return make_observation(
            **{
                "settings": settings,
                "seconds": seconds,
                "requests": rate * seconds,
                "busy_seconds_total": in_app * seconds,
                "cpu_seconds_total": cores_used * seconds,
                "busiest_worker_cores": cores_used / settings.workers,
                "backlog": demand - in_app,
                **changes,
            }
        )

    return see


def verdict(best, after, *, expected=2.0, is_last_call=False):
    return judge(best, after, after.settings_active, expected=expected, is_last_call=is_last_call)


def test_twice_as_many_requests_are_a_gain_that_few_of_them_show(seen):
    best = seen(BEFORE, 10.0)

    assert verdict(best, seen(AFTER, 20.0)).outcome is Outcome.MORE
    assert verdict(best, seen(AFTER, 1.0)) is None
    assert verdict(best, seen(AFTER, 1.0), is_last_call=True).outcome is Outcome.MORE, "three requests show nothing"


def test_as_many_requests_as_before_are_a_knee_once_there_are_enough(seen):
    few, many = seen(BEFORE, 5.0, seconds=4.0), seen(BEFORE, 100.0)

    assert verdict(few, seen(AFTER, 5.0, seconds=4.0)) is None
    found = verdict(many, seen(AFTER, 100.0))
    assert (found.outcome, found.reason, found.cores_full) == (Outcome.NO_GAIN, Reason.TRIAL_NO_GAIN, False)


def test_after_its_longest_time_the_law_of_all_steps_decides_what_is_not_clear(seen):
    few, after = seen(BEFORE, 3.0, seconds=8.0), seen(AFTER, 3.0, seconds=8.0)

    assert verdict(few, after, expected=1.0, is_last_call=True).outcome is Outcome.NO_GAIN
    assert verdict(few, after, expected=1.9, is_last_call=True).outcome is Outcome.MORE


def test_a_small_gain_is_one_on_busy_cores_and_none_on_idle_ones(seen):
    idle, busy = (seen(BEFORE, 500.0, cores_used=used) for used in (0.2, 1.4))

    assert verdict(idle, seen(AFTER, 560.0, cores_used=0.2)).outcome is Outcome.NO_GAIN
    assert verdict(busy, seen(AFTER, 560.0, cores_used=1.5)).outcome is Outcome.MORE


def test_on_full_cores_a_step_that_serves_as_many_is_the_last_and_one_that_serves_fewer_says_why(seen):
    best = seen(BEFORE, 500.0, cores_used=1.9)

    assert verdict(best, seen(AFTER, 500.0, cores_used=1.95)).outcome is Outcome.SERVED
    fewer = verdict(best, seen(AFTER, 480.0, cores_used=1.95))
    assert (fewer.outcome, fewer.cores_full) == (Outcome.NO_GAIN, True)


def test_where_no_more_is_asked_for_nothing_can_be_gained(seen):
    best = seen(BEFORE, 100.0, demand=9.0)

    assert verdict(best, seen(AFTER, 100.0, demand=9.0)).outcome is Outcome.MORE


def test_a_step_of_which_less_than_half_is_used_is_the_last(seen):
    assert verdict(seen(BEFORE, 100.0, demand=12.0), seen(AFTER, 150.0, demand=6.0)).outcome is Outcome.SERVED


def test_a_demand_that_is_gone_is_no_knee(seen):
    assert verdict(seen(BEFORE, 100.0, demand=64.0), seen(AFTER, 100.0, demand=12.0)).outcome is Outcome.MORE


@pytest.mark.parametrize("demand", [64.0, 16.0], ids=["requests wait", "none waits"])
def test_clearly_fewer_requests_are_harm_whether_any_wait_or_not(seen, demand):
    found = verdict(seen(BEFORE, 500.0, demand=demand), seen(AFTER, 300.0, demand=demand))

    assert (found.outcome, found.reason) == (Outcome.NO_GAIN, Reason.TRIAL_THROUGHPUT)


def test_failed_requests_are_harm_at_once_if_they_are_more_than_chance(seen):
    best = seen(BEFORE, 100.0)

    assert early_harm(best, seen(AFTER, 200.0, errors=40.0), AFTER).reason is Reason.TRIAL_ERRORS
    assert early_harm(best, seen(AFTER, 200.0, errors=1.0), AFTER) is None
    assert early_harm(best, seen(AFTER, 5.0, errors=5.0), AFTER) is None, "ten requests show nothing"
    assert early_harm(seen(BEFORE, 100.0, errors=20.0), seen(AFTER, 200.0, errors=40.0), AFTER) is None


def test_failed_requests_are_compared_with_those_before_the_climb_not_with_a_step_that_failed_some_too(seen):
    before, last = seen(BEFORE, 10.0), seen(BEFORE, 10.0, errors=4.0)
    step = seen(AFTER, 20.0, errors=8.0)

    assert early_harm(last, step, AFTER) is None
    assert early_harm(last, step, AFTER, baseline=before).reason is Reason.TRIAL_ERRORS


def test_a_killed_worker_is_harm_and_so_is_full_memory(seen):
    best = seen(BEFORE, 100.0)

    assert early_harm(best, seen(AFTER, 200.0, oom_exits=1.0), AFTER).reason is Reason.TRIAL_MEMORY
    full = seen(AFTER, 200.0, worker_memory_bytes_mean=490e6)
    assert verdict(best, full).reason is Reason.TRIAL_MEMORY


@pytest.mark.parametrize("rate", [20.0, 5000.0])
@pytest.mark.parametrize(("pods", "more"), [(1, 4), (4, 1), (3, 3)])
def test_pods_that_come_or_go_are_neither_gain_nor_loss(make_observation, rate, pods, more):
    def of(settings, number, each):
        return make_observation(
            settings=settings,
            pods=float(number),
            requests=15.0 * each * number,
            busy_seconds_total=15.0 * settings.slots * number,
            cpu_seconds_total=0.1,
            backlog=float(60 * number),
            cores=2.0 * number,
        )

    best = of(BEFORE, pods, rate)

    assert verdict(best, of(AFTER, more, 2 * rate)).outcome is Outcome.MORE
    assert verdict(best, of(AFTER, more, rate)).outcome is Outcome.NO_GAIN


def test_failed_requests_that_may_be_chance_keep_a_step_going_until_they_are_known_to_be(seen):
    best, after = seen(BEFORE, 300.0, seconds=8.0), seen(AFTER, 900.0, seconds=1.0, errors=1.0)

    assert early_harm(best, after, AFTER) is None, "one of 900 may be chance"
    assert verdict(best, after) is None
    assert early_harm(best, seen(AFTER, 600.0, seconds=8.0, errors=32.0), AFTER).reason is Reason.TRIAL_ERRORS
    assert verdict(best, after, is_last_call=True).outcome is Outcome.MORE
    worse = seen(AFTER, 900.0, seconds=1.0, errors=3.0)
    assert verdict(best, worse, is_last_call=True).reason is Reason.TRIAL_ERRORS, "nobody looks again"
