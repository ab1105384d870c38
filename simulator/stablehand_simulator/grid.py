"""The best static settings: what the tuner is measured against.

For a workload, each of a grid of settings is computed by the formulas of `steady`. The best are those with the highest
rate of successful answers; among those within 5 % of it, with the lowest p99.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_simulator import steady
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model.limits import MEMORY_SHARE, SURGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stablehand_simulator.steady import Steady
    from stablehand_simulator.workload import Workload

AS_GOOD = 0.95
HARMLESS_ERRORS = 0.0005  # of the requests
_THREADS = (1, 2, 4, 8, 16, 32, 64)
_MOST_PROCESSES = 64


@dataclasses.dataclass(frozen=True)
class Performance:
    """How a workload performs: successful answers per second of all pods, and the p99 of a client's wait.

    `errors` is the share of the answers that are none.
    """

    settings: Settings
    goodput: float
    p99: float
    memory_bytes: float
    errors: float = 0.0


def performance(workload: Workload, settings: Settings) -> Performance:
    """Return how the workload, as it is at its start, performs under the settings."""
    state = _state(workload, settings)
    memory = settings.workers * workload.app.process_bytes + state.occupied * workload.app.request_bytes
    goodput = workload.pods * state.throughput * (1 - state.errors)
    p99 = state.p99
    if workload.rate and state.throughput < workload.rate / workload.pods * 0.99:
        p99 = math.inf  # the queue grows as long as the load lasts
    return Performance(settings, goodput, p99, memory, state.errors)


def best(workload: Workload) -> Performance:
    """Return the best of the grid that policy, machine and memory allow; else that of the initial settings."""
    return _best_of(workload, candidates(workload))


def best_harmless(workload: Workload) -> Performance:
    """Return the best of a finer grid under which no requests fail: what a ceiling has to be found for."""
    return _best_of(workload, fine_candidates(workload), most_errors=HARMLESS_ERRORS)


def best_harmless_at_limits(workload: Workload) -> Performance:
    """Return nearly the same, from the usual grid and the settings at the app's limits: a tenth of the work."""
    grid = [*candidates(workload), *_at_limits(workload)]
    return _best_of(workload, grid, most_errors=HARMLESS_ERRORS)


def _best_of(workload: Workload, grid: Iterable[Settings], *, most_errors: float = 1.0) -> Performance:
    performances = [performance(workload, settings) for settings in grid]
    fitting = [each for each in performances if fits(workload, each) and each.errors <= most_errors]
    if not fitting:
        return performance(workload, workload.start)
    highest = max(each.goodput for each in fitting)
    return min(
        (each for each in fitting if each.goodput >= AS_GOOD * highest), key=lambda each: (each.p99, -each.goodput)
    )


def fits(workload: Workload, made: Performance) -> bool:
    """Tell whether the settings fit into the memory, by the same rule as in the tuner."""
    limit = workload.machine.memory_limit
    return limit is None or made.memory_bytes + SURGE * workload.app.process_bytes <= MEMORY_SHARE * limit


def candidates(workload: Workload) -> Iterator[Settings]:
    """Yield the settings of the grid."""
    policy, cores = workload.policy, workload.machine.whole_cores
    highest = min(_MOST_PROCESSES, policy.workers_highest or _MOST_PROCESSES)
    few = {1, 2, cores, 2 * cores, 4 * cores}
    many = few | {2 * cores + 1, 8, 16, 32, 64}
    for worker_class in policy.worker_classes:
        if worker_class not in workload.machine.available_classes:
            continue
        if worker_class is WorkerClass.GEVENT and workload.machine.blocking_modules:
            continue
        for workers in sorted(many if worker_class is WorkerClass.SYNC else few):
            if not policy.workers_lowest <= workers <= highest:
                continue
            if worker_class is WorkerClass.GTHREAD:
                for threads in sorted({policy.threads.clamp(each) for each in _THREADS}):
                    yield Settings(worker_class, workers, threads)
            elif worker_class is WorkerClass.GEVENT:
                yield Settings(worker_class, workers, 1, policy.worker_connections.highest)
            else:
                yield Settings(worker_class, workers)


def fine_candidates(workload: Workload) -> Iterator[Settings]:
    """Yield each number of processes up to four for each core, and of threads up to 64, and the event loops."""
    policy, cores = workload.policy, workload.machine.whole_cores
    yield from (each for each in candidates(workload) if each.worker_class is WorkerClass.GEVENT)
    for workers in range(policy.workers_lowest, min(policy.workers_highest or 4 * cores, 4 * cores) + 1):
        if WorkerClass.SYNC in policy.worker_classes:
            yield Settings(WorkerClass.SYNC, workers)
        if WorkerClass.GTHREAD in policy.worker_classes:
            yield from (
                Settings(WorkerClass.GTHREAD, workers, threads)
                for threads in range(policy.threads.lowest, policy.threads.highest + 1)
            )


def _at_limits(workload: Workload) -> Iterator[Settings]:
    policy, app = workload.policy, workload.app
    if WorkerClass.GTHREAD not in policy.worker_classes:
        return
    most = min(policy.workers_highest or _MOST_PROCESSES, 4 * workload.machine.whole_cores)
    for workers in range(policy.workers_lowest, most + 1):
        limits = {app.process_connections, app.pod_connections / workers}
        for threads in {policy.threads.clamp(math.floor(each)) for each in limits if math.isfinite(each) and each >= 1}:
            yield Settings(WorkerClass.GTHREAD, workers, threads)


def _state(workload: Workload, settings: Settings) -> Steady:
    connections = workload.backend_connections / workload.pods
    if workload.rate:
        rate = workload.rate / workload.pods
        return steady.opened(workload.app, settings, workload.machine, rate, backend_connections=connections)
    clients = workload.clients / workload.pods
    return steady.closed(workload.app, settings, workload.machine, clients, connections)
