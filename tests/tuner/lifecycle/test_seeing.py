"""What counts of a round of scrapes."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.lifecycle.inputs import Inputs
from stablehand_tuner.lifecycle.seeing import UNEVEN_SECONDS, observed
from stablehand_tuner.lifecycle.window import Window
from stablehand_tuner.policy import Policy

THREADS = Settings(WorkerClass.GTHREAD, 1, 4)


@pytest.fixture
def pod(make_observation):
    """Return a function that makes what a pod with four threads shows in a second, with so many requests for it."""

    def make(clients, **fields):
        busy = min(clients, 4.0)
        shown = {"backlog": clients - busy, "busy_seconds_total": busy, "busy_slots": busy, "slots": 4.0, "errors": 0.0}
        return make_observation(settings=THREADS, seconds=1.0, **{**shown, **fields})

    return make


def seconds_that_count(*pods, after=1.0):
    inputs = Inputs(Policy(), {str(number): each for number, each in enumerate(pods)}, now=1000.0 + after)
    return observed(inputs, Window(), THREADS, since=1000.0).seconds


def test_a_round_counts_where_all_pods_have_about_as_much_to_do(pod):
    assert seconds_that_count(pod(12.0), pod(8.0), pod(4.0)) == 1.0
    assert seconds_that_count(pod(1.0), pod(0.0)) == 1.0
    assert seconds_that_count(pod(40.0)) == 1.0


def test_soon_after_a_change_it_does_not_while_clients_queue_for_one_pod_and_another_has_none(pod):
    assert seconds_that_count(pod(40.0), pod(1.0), pod(4.0)) == 0.0
    assert seconds_that_count(pod(40.0), pod(1.0), after=UNEVEN_SECONDS) == 1.0


def test_one_in_which_requests_fail_counts_however_clients_are_spread(pod):
    assert seconds_that_count(pod(40.0), pod(1.0, errors=3.0)) == 1.0
