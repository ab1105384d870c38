from __future__ import annotations

import dataclasses

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.load import Load

SYNC_1, SYNC_2 = Settings(WorkerClass.SYNC, 1), Settings(WorkerClass.SYNC, 2)
GTHREAD = Settings(WorkerClass.GTHREAD, 1, 8)


def load(make_observation, current, *, in_app, busiest, cores=2.0, children=0.0, **changes):
    own = busiest * current.workers
    seen = make_observation(
        settings=current,
        busy_seconds_total=15.0 * in_app,
        cpu_seconds_total=15.0 * (own + children),
        children_cpu_seconds_total=15.0 * children,
        busiest_worker_cores=busiest,
        cores=cores,
        **changes,
    )
    return Load.of(seen, current)


@pytest.mark.parametrize(
    ("current", "seen", "whole_cores"),
    [
        (SYNC_1, (1.0, 1.0, 2.0), 2),  # computes in Python
        (SYNC_1, (1.0, 1.1, 2.0), 2),  # the server's own share on top
        (SYNC_1, (1.0, 1.9, 2.0), 1),  # as numpy does on two cores
        (SYNC_1, (0.9, 1.5, 2.0), 1),
        (SYNC_1, (1.0, 1.25, 2.0), 2),  # more is idle than one process uses
        (SYNC_1, (1.0, 3.8, 8.0), 2),
        (SYNC_2, (2.0, 1.0, 2.0), 2),  # two such processes share the cores, which hides it
        (GTHREAD, (8.0, 1.9, 2.0), 2),  # the server's threads, in C code that releases the lock
        (SYNC_1, (0.01, 0.3, 2.0), 2),  # a thread that computes now and then
    ],
)
def test_a_request_that_computes_in_threads_of_its_own_needs_fewer_processes(
    make_observation, current, seen, whole_cores
):
    in_app, busiest, cores = seen
    assert load(make_observation, current, in_app=in_app, busiest=busiest, cores=cores).whole_cores == whole_cores


def test_what_child_processes_compute_fills_the_pod_and_is_no_waiting(make_observation):
    waits = load(make_observation, SYNC_2, in_app=2.0, busiest=0.05)
    computes = load(make_observation, SYNC_2, in_app=2.0, busiest=0.05, children=1.8)

    assert (waits.pod_full, computes.pod_full) == (False, True)
    assert not computes.worker_full
    assert waits.cpu_share < 0.1
    assert computes.cpu_share > 0.9


def test_children_do_not_make_a_process_look_busy(make_observation):
    """The processor of the model of a full process is the worker's own; what others compute is waiting to it."""
    alone = load(make_observation, GTHREAD, in_app=8.0, busiest=0.3)
    beside = load(make_observation, GTHREAD, in_app=8.0, busiest=0.3, children=0.1)

    others = {"cpu_share": 0, "cores_used": 0, "cpu_seconds": 0, "children_share": 0}
    assert dataclasses.replace(beside, **others) == dataclasses.replace(alone, **others)
    assert beside.cpu_share == pytest.approx(0.4 / 8.0, rel=0.3)
