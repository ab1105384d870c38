from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import pools
from stablehand_tuner.model.propose import propose
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC_1, ASGI = Settings(WorkerClass.SYNC, 1), Settings(WorkerClass.ASGI, 1)
GTHREAD = Settings(WorkerClass.GTHREAD, 1, 15)


def slots(make_observation, current, *, in_app=1.0, **changes):
    seen = make_observation(settings=current, busy_seconds_total=15.0 * in_app, **changes)
    return [limit.slots for limit in pools.limits(seen, current)]


def test_an_app_without_a_pool_has_no_such_ceiling(make_observation):
    assert slots(make_observation, SYNC_1) == []


def test_one_process_has_no_more_slots_than_its_pool_has_connections(make_observation):
    assert slots(make_observation, SYNC_1, pool_size=15.0) == [15]


@pytest.mark.parametrize(("in_use", "most"), [(15.0, 15), (12.0, 15), (6.0, 30), (0.0, 300)])
def test_requests_that_need_no_connection_leave_room_for_more(make_observation, in_use, most):
    assert slots(make_observation, GTHREAD, in_app=15.0, pool_size=15.0, pool_in_use=in_use) == [most]


def test_few_requests_do_not_show_how_many_need_one(make_observation):
    assert slots(make_observation, GTHREAD, in_app=1.0, pool_size=15.0, pool_in_use=0.0) == [15]


def test_the_slots_of_asgi_are_the_connections_of_clients(make_observation):
    assert slots(make_observation, ASGI, in_app=15.0, pool_size=15.0) == []


def test_more_processes_take_the_place_of_threads_that_would_wait_for_the_pool(make_observation):
    free = propose(Policy(), make_observation(), SYNC_1).settings
    assert free.slots_per_worker > 15

    proposal = propose(Policy(), make_observation(pool_size=15.0), SYNC_1)
    assert proposal.settings.worker_class is WorkerClass.GTHREAD
    assert 2 <= proposal.settings.slots_per_worker <= 15
    assert proposal.settings.workers > free.workers
    assert "its pool of 15 connections" in proposal.message


def test_where_there_can_be_no_more_processes_the_message_names_the_pool(make_observation):
    seen = make_observation(
        settings=GTHREAD,
        busy_seconds_total=225.0,
        requests=2250.0,
        cpu_seconds_total=3.0,
        pool_size=15.0,
        pool_in_use=15.0,
    )
    proposal = propose(Policy(workers_highest=1), seen, GTHREAD)

    assert (proposal.settings, proposal.reason) == (GTHREAD, Reason.AT_CEILING)
    assert "its pool of 15 connections" in proposal.message
