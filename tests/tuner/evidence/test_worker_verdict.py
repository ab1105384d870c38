"""One worker beside its siblings: what is harm, what only speaks against it, and what is no evidence."""

from __future__ import annotations

import random

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.evidence.worker_verdict import judge
from stablehand_tuner.observe import aggregation
from stablehand_tuner.policy import Windows
from stablehand_tuner.reasons import Reason

GEVENT = Settings(WorkerClass.GEVENT, 2, 1, 100)


@pytest.fixture
def verdict(make_observation):
    """Return a function: the verdict after some seconds of a worker, beside a sibling with 50 requests/s of 100 ms."""

    def after(seconds, *, rate=50.0, errors=0.0, response=0.1, longest=120.0, flees=False, seed=1, **changes):
        chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
        comparison, window = Comparison(), None
        for _ in range(seconds):

            def side(requests, mean, failed, **more):
                noisy = mean * chance.gauss(1.0, 0.02)
                return make_observation(
                    **{
                        "seconds": 1.0,
                        "requests": requests,
                        "errors": requests * failed,
                        "busy_seconds_total": requests * noisy,
                        "cpu_seconds_total": requests * 0.001,
                        "backlog": 0.0,
                        "duration_buckets": (),
                        "workers_ready": 1.0,
                        **more,
                    }
                )

            worker = side(rate, response, errors, settings=GEVENT, **changes)
            comparison = comparison.add(worker, side(50.0, 0.1, 0.0), settled=True)
            window = worker if window is None else aggregation.merge(window, worker)
        return judge(comparison, window, GEVENT, Windows(), longest=longest, flees=flees)

    return after


def test_enough_requests_without_harm_are_no_harm(verdict):
    assert verdict(18, rate=10.0) is None
    assert verdict(20, rate=10.0).passed


def test_many_requests_need_less_time(verdict):
    assert verdict(4, rate=200.0) is None
    assert verdict(5, rate=200.0).passed


def test_failed_requests_are_harm_as_soon_as_chance_does_not_explain_them(verdict):
    assert verdict(3, errors=0.2).reason is Reason.TRIAL_ERRORS
    assert verdict(20, errors=0.002).passed


def test_a_blocked_loop_is_harm(verdict):
    assert verdict(5, lag_seconds_mean=2.0).reason is Reason.TRIAL_LAG
    assert verdict(20, lag_seconds_mean=0.2).reason is Reason.TRIAL_LAG


def test_more_memory_than_there_is_for_all_is_harm(verdict):
    assert verdict(5, worker_memory_bytes_mean=600e6).reason is Reason.TRIAL_MEMORY


def test_a_slower_response_counts_only_where_no_more_is_served(verdict):
    assert verdict(20, response=0.2).reason is Reason.TRIAL_LATENCY
    assert verdict(20, response=0.2, rate=100.0).passed


def test_beside_siblings_that_do_harm_a_slower_response_says_nothing(verdict):
    assert verdict(20, response=0.2, flees=True).passed


def test_more_cpu_for_as_many_requests_speaks_against_it(verdict):
    assert verdict(20, cpu_seconds_total=0.1).reason is Reason.TRIAL_CPU


def test_few_requests_are_no_evidence_and_some_are_at_the_end(verdict):
    assert verdict(30, rate=0.3, longest=30.0).reason is Reason.WORKER_TRIAL_UNDECIDED
    assert verdict(30, rate=1.0, longest=30.0).passed
