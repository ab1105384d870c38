from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.limits import memory_room, process_bounds
from stablehand_tuner.model.memory import relieve_memory
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason


def test_the_room_leaves_a_fifth_of_the_limit_and_the_surge_of_a_switch(make_observation):
    assert memory_room(make_observation(memory_limit_bytes=1000.0, worker_memory_bytes=100.0)) == 7
    assert memory_room(make_observation(memory_limit_bytes=100.0, worker_memory_bytes=100.0)) == 1
    assert memory_room(make_observation(memory_limit_bytes=None)) is None
    assert memory_room(make_observation(worker_memory_bytes=None)) is None


def test_processes_end_at_four_for_each_core_or_at_one_where_memory_is_unknown(make_observation):
    current = Settings(WorkerClass.SYNC, 1)

    assert process_bounds(Policy(), make_observation(memory_limit_bytes=1e12), current, 2).highest == 8
    assert process_bounds(Policy(), make_observation(memory_limit_bytes=None), current, 2).highest == 2


def test_memory_ends_what_the_user_would_allow_but_not_what_the_user_demands(make_observation):
    tight = make_observation(memory_limit_bytes=1000.0, worker_memory_bytes=200.0)
    current = Settings(WorkerClass.SYNC, 1)
    allowed = Policy.from_mapping({"workers": {"max": 16}})
    demanded = Policy.from_mapping({"workers": {"min": 6, "max": 16}})

    assert process_bounds(allowed, tight, current, 2).highest == 3
    assert process_bounds(demanded, tight, current, 2).lowest == 6


def test_a_computing_app_takes_no_more_processes_than_memory_holds(make_observation):
    current = Settings(WorkerClass.SYNC, 1)
    seen = make_observation(
        cores=8.0,
        cpu_seconds_total=14.7,
        busiest_worker_cores=0.98,
        memory_limit_bytes=500e6,
        worker_memory_bytes=100e6,
    )

    assert model.propose(Policy(), seen, current).settings == Settings(WorkerClass.SYNC, 3)


def test_workers_that_fill_the_memory_go_at_once(make_observation):
    current = Settings(WorkerClass.SYNC, 8)
    full = make_observation(settings=current, worker_memory_bytes=130e6, worker_memory_bytes_mean=122e6)
    relief = relieve_memory(Policy(), full, current)

    assert relief.settings == Settings(WorkerClass.SYNC, 6)
    assert relief.reason is Reason.MEMORY
    assert "931 of 954 MiB" in relief.message


def test_an_oom_kill_costs_a_process_and_the_last_ones_threads(make_observation):
    several = Settings(WorkerClass.GTHREAD, 3, 8)
    one = Settings(WorkerClass.GTHREAD, 1, 8)

    assert relieve_memory(Policy(), make_observation(oom_exits=1.0), several).settings == Settings(
        WorkerClass.GTHREAD, 2, 8
    )
    assert relieve_memory(Policy(), make_observation(oom_exits=1.0), one).settings == Settings(
        WorkerClass.GTHREAD, 1, 4
    )


@pytest.mark.parametrize("oom_exits", [0.0, 1.0])
def test_what_cannot_be_made_smaller_stays(make_observation, oom_exits):
    smallest = Settings(WorkerClass.SYNC, 1)
    full = make_observation(oom_exits=oom_exits, worker_memory_bytes=1e9, worker_memory_bytes_mean=1e9)

    assert relieve_memory(Policy(), full, smallest) is None


def test_memory_that_suffices_calls_for_nothing(make_observation):
    assert relieve_memory(Policy(), make_observation(), Settings(WorkerClass.SYNC, 8)) is None
