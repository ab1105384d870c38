"""Each thing by which a canary is compared with its siblings, alone."""

from __future__ import annotations

import math
import random

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.evidence.canary_verdict import judge
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.observe.aggregation import merge
from stablehand_tuner.policy import Windows
from stablehand_tuner.reasons import Reason

OLD, NEW = Settings(WorkerClass.GTHREAD, 2, 8), Settings(WorkerClass.GTHREAD, 2, 16)
WINDOWS = Windows()


@pytest.fixture
def ended(make_observation):
    """Return a function that compares a canary with a sibling until that ends, and returns the outcome and the looks.

    Each is given what it does of the usual: times the response time, the CPU, and the share of slow requests.
    """

    def run(
        *,
        response=1.0,
        cpu=1.0,
        slow=0.02,
        served=1.0,
        scatter=0.02,
        seed=1,
        settled=True,
        looks=40,
        wanted=NEW,
        **more,
    ):
        chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)

        def tick(settings, response, cpu, slow, served=1.0):
            requests = 500.0 * served
            demand = 10.0 * served * response * math.exp(chance.gauss(0, scatter))
            slower = sum(chance.random() < slow for _ in range(int(requests)))
            return make_observation(
                settings=settings,
                seconds=5.0,
                requests=requests,
                busy_seconds_total=5.0 * demand,
                backlog=0.0,
                cpu_seconds_total=requests * 0.002 * cpu * math.exp(chance.gauss(0, scatter)),
                duration_buckets=((0.1, requests - slower), (math.inf, requests)),
            )

        comparison, window = Comparison.against(tick(OLD, 1.0, 1.0, 0.02)), None
        for look in range(1, looks + 1):
            ours, theirs = tick(NEW, response, cpu, slow, served), tick(OLD, 1.0, 1.0, 0.02)
            comparison = comparison.add(ours, theirs, settled=settled)
            window = ours if window is None else merge(window, ours)
            outcome = judge(comparison, window, wanted, WINDOWS, served=OLD, **more)
            if outcome is not None:
                return outcome, look
        return None, looks

    return run


def test_a_response_time_that_is_longer_by_a_third_harms(ended):
    outcome, looks = ended(response=1.35)

    assert outcome.reason is Reason.TRIAL_LATENCY
    assert "1" in outcome.message
    assert looks <= 12


def test_a_response_time_that_is_longer_because_more_clients_come_does_no_harm(ended):
    outcome, looks = ended(response=4.0, served=3.0)

    assert outcome.reason is Reason.CANARY_PASSED
    assert looks <= 10


def test_slow_requests_alone_harm_and_are_the_price_of_a_shorter_response_time(ended):
    outcome, looks = ended(slow=0.1)

    assert outcome.reason is Reason.TRIAL_LATENCY
    assert "take more than 100 ms" in outcome.message
    assert looks <= 3
    assert ended(slow=0.1, response=0.7)[0].reason is Reason.CANARY_PASSED


def test_more_cpu_for_a_request_harms_unless_it_buys_a_shorter_response_time(ended):
    assert ended(cpu=1.6)[0].reason is Reason.TRIAL_CPU
    assert ended(cpu=1.6, response=0.7)[0].reason is Reason.CANARY_PASSED
    assert ended(cpu=1.1)[0].reason is Reason.CANARY_PASSED


def test_no_difference_passes_within_a_minute(ended):
    outcome, looks = ended()

    assert outcome.reason is Reason.CANARY_PASSED
    assert 4 <= looks <= 12


def test_what_has_to_gain_passes_with_a_gain_alone(ended):
    assert ended(must_gain=True)[0].reason is Reason.TRIAL_NO_GAIN
    assert ended(must_gain=True, response=0.8)[0].reason is Reason.CANARY_PASSED
    assert ended(must_gain=True, cpu=0.7)[0].reason is Reason.CANARY_PASSED


def test_cold_workers_are_judged_by_their_errors_alone(ended):
    outcome, looks = ended(response=5.0, slow=0.9, cpu=5.0, settled=False, looks=20)

    assert (outcome, looks) == (None, 20)


def test_a_difference_of_a_tenth_is_no_harm_and_one_that_nothing_proves_ends_with_time(ended):
    outcome, looks = ended(response=1.12)

    assert (outcome.reason, looks) == (Reason.CANARY_PASSED, 24)
    assert "no harm after 120 s" in outcome.message


def test_large_variance_is_taken_for_harm_in_at_most_one_canary_of_twenty(ended):
    """As slow as is still no harm, with a scatter of a half: each look would find something without the tests' care."""
    harmed = sum(
        ended(response=1.19, cpu=1.24, scatter=0.5, seed=seed)[0].reason is not Reason.CANARY_PASSED
        for seed in range(60)
    )

    assert harmed <= 6, "one in twenty, and three standard deviations of chance"
