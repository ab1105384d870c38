from __future__ import annotations

import math

import pytest

from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.evidence.trial import conclude, early_harm
from stablehand_tuner.reasons import Reason

GTHREAD = Settings(WorkerClass.GTHREAD, 2, 48)
GEVENT = Settings(WorkerClass.GEVENT, 2, 1, 100)


@pytest.fixture
def window(make_observation):
    """Return 20 s with so many requests per second in flight, all of them in one bucket of durations."""

    def make(rate=100.0, *, demand=64.0, bucket=0.25, **changes):
        requests = rate * 20
        bounds = (*DURATION_BUCKETS, math.inf)
        return make_observation(
            **{
                "seconds": 20.0,
                "requests": requests,
                "busy_seconds_total": demand * 20.0,
                "backlog": 0.0,
                "duration_buckets": tuple((bound, requests if bound >= bucket else 0.0) for bound in bounds),
                **changes,
            }
        )

    return make


def outcome(before, after, settings=GTHREAD):
    return conclude(before, after, settings, minimum=100.0)


def test_a_gain_passes_and_the_message_has_its_numbers(window):
    passed = outcome(window(10.0), window(600.0))

    assert passed.passed
    assert "600.0 requests/s instead of 10.0" in passed.message


def test_no_difference_passes(window):
    assert outcome(window(), window()).passed


def test_less_throughput_at_the_same_demand_harms(window):
    assert outcome(window(100.0), window(79.0)).reason is Reason.TRIAL_THROUGHPUT


def test_less_throughput_at_less_demand_is_only_less_load(window):
    assert outcome(window(100.0), window(50.0, demand=30.0)).passed


def test_fewer_slots_may_cost_less_throughput_than_more(window):
    fewer, more = Settings(WorkerClass.SYNC, 2), Settings(WorkerClass.GTHREAD, 2, 8)
    running = Settings(WorkerClass.GTHREAD, 1, 4)
    before, after = (window(rate, settings=running, backlog=0.5) for rate in (300.0, 270.0))

    assert outcome(before, after, fewer).reason is Reason.TRIAL_THROUGHPUT
    assert outcome(before, after, more).reason is Reason.TRIAL_UNCLEAR


def test_a_loss_that_is_small_but_no_chance_is_unclear_unless_more_is_asked_for(window):
    before = window(100.0, backlog=0.1)

    assert outcome(before, window(90.0, backlog=0.1)).reason is Reason.TRIAL_UNCLEAR
    assert outcome(before, window(90.0, demand=80.0)).passed, "more requests at once take longer in any settings"
    assert outcome(before, window(95.0)).passed


def test_more_slots_that_no_request_waited_for_may_cost_as_little_as_fewer(window):
    before, after = window(100.0, settings=Settings(WorkerClass.SYNC, 9)), window(90.0)

    assert outcome(before, after).reason is Reason.TRIAL_THROUGHPUT


def test_a_loss_that_chance_explains_passes(window):
    assert outcome(window(8.0), window(6.2)).passed
    assert outcome(window(20.0), window(18.0)).passed


def test_a_clearly_longer_tail_without_a_gain_harms(window):
    assert outcome(window(bucket=0.1), window(bucket=0.5)).reason is Reason.TRIAL_LATENCY


def test_a_short_tail_inside_an_app_that_blocks_its_event_loop_says_nothing_of_what_waited_for_its_turn(window):
    evented = Settings(WorkerClass.GEVENT, 1, 1, 70)
    before = window(bucket=0.05, settings=evented, lag_seconds_mean=0.6)

    assert outcome(before, window(bucket=0.5)).passed
    assert not outcome(window(bucket=0.05, settings=evented), window(bucket=0.5)).passed


def test_a_tail_that_is_a_little_longer_is_no_harm(window):
    assert outcome(window(bucket=0.125), window(bucket=0.15)).passed


def test_a_tail_that_is_half_as_long_again_harms_without_a_gain(window):
    assert outcome(window(100.0, bucket=0.1), window(102.0, bucket=0.15)).reason is Reason.TRIAL_LATENCY


def test_a_longer_tail_is_the_price_of_a_gain(window):
    assert outcome(window(100.0, bucket=0.1), window(150.0, bucket=0.5)).passed


def test_a_longer_tail_inside_that_ends_the_wait_outside_is_a_gain(window):
    """Open load: throughput cannot rise, but requests no longer wait for a slot."""
    assert outcome(window(bucket=0.1, demand=64.0), window(bucket=0.5, demand=40.0)).passed


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        ({"backlog": 63.0}, {"backlog": 62.0}, False),
        ({"backlog": 63.0}, {"backlog": 62.0, "rate": 106.0}, True),
        ({"backlog": 63.0}, {"backlog": 0.0}, True),
        ({"backlog": 0.0}, {"backlog": 0.0}, True),
    ],
    ids=["no more", "more", "the queue is gone", "nobody waited"],
)
def test_more_slots_that_serve_no_more_go_back_only_if_requests_waited_for_them(window, before, after, passed):
    was = Settings(WorkerClass.SYNC, 2)
    judged = outcome(window(demand=2.0, settings=was, **before), window(demand=2.0, **after))

    assert judged.reason is (Reason.TRIAL_PASSED if passed else Reason.TRIAL_NO_GAIN)


def test_errors_end_a_trial_before_its_time(window):
    before, after = window(errors=0.0), window(errors=100.0)

    assert early_harm(before, after, GTHREAD).reason is Reason.TRIAL_ERRORS
    assert outcome(before, after).reason is Reason.TRIAL_ERRORS
    assert "5.0% of the requests fail, 0.0% did before" in outcome(before, after).message


def test_a_fifth_of_failed_requests_is_harm_however_few_requests_there_were_before(window):
    few = window(0.65, errors=0.0, demand=1.0)  # thirteen: none of which failing is not unlikely at a fifth either
    after = window(30.0, errors=120.0, demand=60.0)

    assert early_harm(few, after, GTHREAD).reason is Reason.TRIAL_ERRORS


def test_errors_that_were_there_before_are_not_held_against_a_change(window):
    assert outcome(window(errors=100.0), window(errors=110.0)).passed
    assert early_harm(window(1.0, errors=0.0), window(1.0, errors=1.0), GTHREAD) is None


def test_half_the_throughput_is_not_waited_out(window):
    assert early_harm(window(100.0), window(45.0), GTHREAD).reason is Reason.TRIAL_THROUGHPUT
    assert early_harm(window(100.0), window(60.0), GTHREAD) is None


def test_no_answers_at_all_are_harm_though_there_are_too_few_requests_to_judge(window):
    assert early_harm(window(100.0), window(0.0), GTHREAD).reason is Reason.TRIAL_THROUGHPUT


@pytest.mark.parametrize(("lag", "early"), [(0.2, False), (1.5, True)])
def test_a_blocked_event_loop_harms_whatever_the_throughput(window, lag, early):
    before, after = window(10.0), window(40.0, lag_seconds_mean=lag)

    assert outcome(before, after, GEVENT).reason is Reason.TRIAL_LAG
    assert (early_harm(before, after, GEVENT) is not None) is early
    assert outcome(before, after, GTHREAD).passed


def test_a_loop_that_is_late_because_its_process_is_full_is_not_blocked(window):
    full = window(400.0, lag_seconds_mean=0.2, busiest_worker_cores=0.95)

    assert outcome(window(10.0), full, GEVENT).passed


def test_an_oom_kill_or_full_memory_harms(window):
    killed = window(600.0, oom_exits=1.0)
    full = window(600.0, worker_memory_bytes_mean=490e6)

    assert outcome(window(10.0), killed).reason is Reason.TRIAL_MEMORY
    assert outcome(window(10.0), full).reason is Reason.TRIAL_MEMORY


def test_too_few_requests_prove_nothing(window):
    assert outcome(window(2.0, demand=0.2), window(2.0, demand=0.2)) is None
