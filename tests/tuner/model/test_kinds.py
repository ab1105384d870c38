"""Kinds of requests that are known again by what they cost, while a full process hides what they wait for."""

from __future__ import annotations

import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.kinds import Kinds
from stablehand_tuner.model.known import Known
from stablehand_tuner.observe.load import Load
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_2 = Settings(WorkerClass.SYNC, 2)
THREADS = Settings(WorkerClass.GTHREAD, 2, 25)


@pytest.fixture
def computing(make_observation):
    """20 ms of computing in each of 100 requests per second: under sync, or with all clients in threads."""

    def make(settings, cost=0.02):
        in_app = min(32.0, settings.slots)
        return make_observation(
            settings=settings,
            requests=15.0 * 2 / cost,
            busy_seconds_total=15.0 * in_app,
            cpu_seconds_total=15.0 * 1.96,
            busiest_worker_cores=0.98,
            backlog=32.0 - in_app,
        )

    return make


def learnt(*windows):
    kinds = Kinds()
    for seen in windows:
        kinds = kinds.learn(seen, Load.of(seen, seen.settings_active), seen.settings_active)
    return kinds


def test_threads_that_hide_a_computing_app_are_seen_through_once_it_was_seen_without_them(computing):
    hidden = computing(THREADS)
    known = learnt(computing(SYNC_2), computing(SYNC_2))

    assert model.propose(Policy(), hidden, THREADS).reason is Reason.FEWER_SLOTS
    proposal = model.propose(Policy(), hidden, THREADS, Known(kinds=known))
    assert (proposal.settings, proposal.reason) == (SYNC_2, Reason.COMPUTE_BOUND)


def test_requests_that_cost_something_else_are_another_kind(computing):
    known = learnt(computing(SYNC_2), computing(SYNC_2))
    proposal = model.propose(Policy(), computing(THREADS, cost=0.003), THREADS, Known(kinds=known))

    assert proposal.reason is Reason.EVENT_LOOP


def test_one_window_alone_and_what_is_hidden_teach_nothing(computing):
    assert learnt(computing(SYNC_2)).known == ()
    assert learnt(computing(SYNC_2), computing(SYNC_2, cost=0.1)).known == (), "it turned from one to the other"
    assert learnt(computing(THREADS), computing(THREADS)) == Kinds()


def test_the_newest_of_a_kind_counts_and_few_are_kept(computing):
    costs = [0.001 * 2**power for power in range(7)]
    known = learnt(*(computing(SYNC_2, cost=cost) for cost in costs for _ in range(2)))

    assert len(known.known) == 4
    assert known.recall(0.064) is not None
    assert known.recall(0.001) is None


def test_kinds_survive_their_json_and_corrupt_ones_are_refused(computing):
    for kinds in (Kinds(), learnt(computing(SYNC_2)), learnt(computing(SYNC_2), computing(SYNC_2))):
        assert Kinds.from_list(json.loads(json.dumps(kinds.to_list()))) == kinds
    for damaged in ([], [None, 3], [None, [1.0]], [["x", 1.0]], [None, [0.0, 1.0]], None):
        with pytest.raises((ValueError, TypeError)):
            Kinds.from_list(damaged)
