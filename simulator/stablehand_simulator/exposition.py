"""The metrics of a simulated pod: the samples of the contract, as a scrape would yield them."""

from __future__ import annotations

import bisect
import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts import metric_names as names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stablehand_simulator.app import Machine
    from stablehand_simulator.process import Counters
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.exposition import Sample
    from stablehand_tuner.observe.snapshot import TrialReading


@dataclasses.dataclass(frozen=True)
class WorkerGauges:
    """The gauges of a living worker: requests, seconds, bytes."""

    slots: float
    busy_slots: float
    connections: float
    lag_seconds: float
    memory_bytes: float


class Durations:
    """The histogram of the time inside the app."""

    def __init__(self) -> None:
        self.counts = [0.0] * (len(names.DURATION_BUCKETS) + 1)

    def observe(self, seconds: float) -> None:
        """Count one request."""
        self.counts[bisect.bisect_left(names.DURATION_BUCKETS, seconds)] += 1

    def cumulative(self) -> Iterator[tuple[float, float]]:
        """Yield each bucket's upper bound with the requests that took no longer."""
        below = 0.0
        for bound, count in zip((*names.DURATION_BUCKETS, math.inf), self.counts, strict=True):
            below += count
            yield bound, below


@dataclasses.dataclass
class ServerCounters:
    """What the server as a whole has counted, and what it runs.

    `desired` are the settings that it should run and did not refuse; `active` those that all its workers run,
    None in the middle of a switch. `rejected` counts settings that it refused, `oom_exits` workers that were killed for
    their memory.
    """

    desired: Settings
    active: Settings | None
    generation: int = 1
    rejected: int = 0
    oom_exits: int = 0
    queue_seconds: float = 0.0
    throttled_seconds: float = 0.0
    durations: Durations = dataclasses.field(default_factory=Durations)


def samples(
    server: ServerCounters,
    machine: Machine,
    counters: Mapping[int, Counters],
    living: Mapping[int, WorkerGauges],
    *,
    ready: int,
    backlog: float,
    trial: TrialReading | None = None,
) -> Iterator[Sample]:
    """Yield the exposition.

    Args:
        server: of the whole server.
        machine: what the cgroup allows.
        counters: by worker index, also of workers that have ended.
        living: by worker index.
        ready: how many workers serve.
        backlog: connections that wait in the kernel.
        trial: the trial on one worker, if the server knows any.
    """
    for index, each in counters.items():
        worker = {"worker": str(index)}
        answered = each.requests - each.errors - each.lost
        yield names.WORKER_REQUESTS.sample_name, {**worker, "code": "2xx"}, answered
        yield names.WORKER_REQUESTS.sample_name, {**worker, "code": "5xx"}, each.errors
        yield names.WORKER_REQUESTS.sample_name, {**worker, "code": "error"}, each.lost
        yield names.WORKER_BUSY_SECONDS.sample_name, worker, each.busy
        yield names.WORKER_CPU_SECONDS.sample_name, {**worker, "mode": "user"}, each.cpu
        yield names.WORKER_RUN_DELAY_SECONDS.sample_name, worker, each.run_delay
    for index, gauges in living.items():
        worker = {"worker": str(index)}
        yield names.WORKER_SLOTS.sample_name, worker, gauges.slots
        yield names.WORKER_BUSY_SLOTS.sample_name, worker, gauges.busy_slots
        yield names.WORKER_CONNECTIONS.sample_name, worker, gauges.connections
        yield names.WORKER_LAG_SECONDS.sample_name, worker, gauges.lag_seconds
        yield names.WORKER_PROPORTIONAL_MEMORY_BYTES.sample_name, worker, gauges.memory_bytes
    yield names.WORKERS.sample_name, {"state": "ready"}, ready
    for bound, count in server.durations.cumulative():
        yield f"{names.REQUEST_DURATION_SECONDS.name}_bucket", {"le": str(bound)}, count
    yield f"{names.REQUEST_QUEUE_SECONDS.name}_sum", {}, server.queue_seconds
    yield names.LISTEN_BACKLOG.sample_name, {}, backlog
    yield from _of_trial(trial)
    yield from _of_settings(server)
    yield from _of_machine(server, machine)


def _of_trial(trial: TrialReading | None) -> Iterator[Sample]:
    if trial is None:
        return
    yield names.TRIALS.sample_name, {"outcome": "failed"}, float(trial.state == "failed")
    yield names.TRIAL_ID.sample_name, {}, trial.id
    if trial.state:
        yield names.TRIAL_STATE.sample_name, {"state": trial.state}, 1
    if trial.worker is not None:
        yield names.WORKER_ON_TRIAL.sample_name, {"worker": str(trial.worker)}, 1


def _of_settings(server: ServerCounters) -> Iterator[Sample]:
    for kind, settings in (("desired", server.desired), ("active", server.active)):
        if settings is None:
            continue
        for name in ("workers", "threads", "worker_connections"):
            yield names.SETTING.sample_name, {"name": name, "kind": kind}, getattr(settings, name)
        info = {"worker_class": settings.worker_class.value, "kind": kind}
        yield names.SETTING_WORKER_CLASS_INFO.sample_name, info, 1
    yield names.GENERATION.sample_name, {}, server.generation
    yield names.GENERATION_SWITCHES.sample_name, {"outcome": "rejected"}, server.rejected
    yield names.GENERATION_SWITCHES.sample_name, {"outcome": "rolled_back"}, 0
    yield names.WORKER_EXITS.sample_name, {"reason": "oom"}, server.oom_exits


def _of_machine(server: ServerCounters, machine: Machine) -> Iterator[Sample]:
    yield names.CPU_LIMIT_CORES.sample_name, {}, machine.cores
    yield names.CPU_COUNT.sample_name, {}, machine.whole_cores
    yield names.CPU_THROTTLED_SECONDS.sample_name, {}, server.throttled_seconds
    if machine.memory_limit is not None:
        yield names.MEMORY_LIMIT_BYTES.sample_name, {}, machine.memory_limit
    for worker_class in sorted(machine.available_classes):
        yield names.AVAILABLE_WORKER_CLASS_INFO.sample_name, {"worker_class": worker_class.value}, 1
    for module in sorted(machine.blocking_modules):
        yield names.BLOCKING_MODULE_INFO.sample_name, {"module": module}, 1
