"""Two scrapes of one pod → what happened between them.

Observations can be added up: consecutive ones of a pod into a longer window, and those of several pods into one of the
whole app (see `aggregation`). So they hold sums, from which the rates are derived.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.observe import histogram
from stablehand_tuner.observe.rates import Rates
from stablehand_tuner.observe.traits import NO_TRAITS, Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observe.snapshot import Snapshot

# How far a counter that is read from /proc may fall without a restart: the last reading of a worker that died may have
# been higher than what its master recorded for it.
_ACCOUNTING_SECONDS = 0.25
# By as much may a sum of seconds fall whose parts were added up in another order.
_ROUNDING = 1e-9
_ACCOUNTED = ("cpu_seconds", "run_delay_seconds", "children_cpu_seconds")
_COUNTED = ("requests", "errors", "busy_seconds", *_ACCOUNTED)


class CounterReset(ValueError):  # noqa: N818 (it is an event in the field's own words, not a fault of the caller)
    """A counter fell: the server restarted between the scrapes, so the pair yields no rates.

    The later snapshot is the first of the next pair; until then the pod counts as missing.
    """


@dataclasses.dataclass(frozen=True)
class Observation(Rates):
    """What happened over `seconds`, in one pod or summed over `pods`.

    The fields named `..._total` are sums over the time and the pods; gauges (`busy_slots`, `slots`, `backlog`,
    `connections`, `workers_ready`, `cores`) are means over the time, summed over the pods; `peak_demand`, the memory's
    highest and the lag are the highest seen. Memory is bytes, everything else seconds or counts.

    `cores_per_process` is how many cores the threads of one process can compute on at once: 1 with an interpreter's
    lock, all of the pod's in a free-threaded build. `pods_full_of_retiring` counts the pods whose server
    allows no more processes that finish long requests.

    `cpu_seconds_total` is what the workers and the processes that the app has started have used, and
    `children_cpu_seconds_total` the part of the latter; `busiest_worker_cores` is of the workers alone.

    `pool_size` is how many connections the app's smallest pool in any one process can give, 0 where it has none, and
    `pool_in_use` how many of them are in use in the mean process, a mean over the time.

    `steady` is true if the same settings were active from beginning to end: only then are the rates theirs.
    """

    connections: float
    workers_ready: float
    cores: float
    peak_demand: float
    busiest_worker_cores: float
    worker_memory_bytes: float | None
    worker_memory_bytes_mean: float | None
    memory_limit_bytes: float | None
    lag_seconds: float
    lag_seconds_mean: float
    settings_desired: Settings | None
    settings_active: Settings | None
    steady: bool
    generation: int
    switches_rejected: float
    switches_rolled_back: float
    oom_exits: float
    available_classes: frozenset[str]
    blocking_modules: frozenset[str]
    cores_per_process: float = 1.0
    pods_full_of_retiring: float = 0.0
    traits: Traits = NO_TRAITS
    children_cpu_seconds_total: float = 0.0
    pool_size: float = 0.0
    pool_in_use: float = 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return the observation as plain JSON; the last bucket's bound is null instead of infinity."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["duration_buckets"] = [[None if math.isinf(le) else le, count] for le, count in self.duration_buckets]
        for name in ("settings_desired", "settings_active"):
            fields[name] = None if fields[name] is None else fields[name].to_mapping()
        for name in ("available_classes", "blocking_modules"):
            fields[name] = sorted(fields[name])
        fields["traits"] = self.traits.to_mapping()
        return fields

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Observation:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        read: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in fields and field.default is not dataclasses.MISSING:
                continue  # written by an earlier version
            value = fields[field.name]
            if field.name in _MAY_BE_NONE and value is None:
                read[field.name] = None
            elif field.name in {"settings_desired", "settings_active"}:
                read[field.name] = Settings.from_mapping(value)
            elif field.name in {"available_classes", "blocking_modules"}:
                read[field.name] = frozenset(str(each) for each in value)
            elif field.name == "traits":
                read[field.name] = Traits.from_mapping(value)
            elif field.name == "duration_buckets":
                read[field.name] = tuple(
                    (math.inf if le is None else _number(le), _number(count)) for le, count in value
                )
            else:
                kind = {"steady": bool, "generation": int}.get(field.name, _number)
                read[field.name] = kind(value)
        if read["seconds"] <= 0 or read["pods"] <= 0:
            raise ValueError("an observation covers some time and some pods")
        return cls(**read)


_MAY_BE_NONE = frozenset(
    {"worker_memory_bytes", "worker_memory_bytes_mean", "memory_limit_bytes", "settings_desired", "settings_active"}
)


def _number(value: Any) -> float:
    if not is_number(value) or value < 0:
        raise ValueError(f"{value!r} cannot have been observed")
    return float(value)


def observe(earlier: Snapshot, later: Snapshot) -> Observation:
    """Return what happened in one pod between two scrapes.

    A worker index that only the later scrape has began at zero in between; what one that only the earlier has did since
    then is lost.

    Raises:
        CounterReset: when a counter fell: the server restarted.
        ValueError: when the later scrape is not later.
    """
    seconds = later.at - earlier.at
    if not seconds > 0:
        raise ValueError(f"the later scrape is {-seconds:.3f} s before the earlier one")
    durations = histogram.subtract(later.duration_buckets, earlier.duration_buckets)
    if durations is None:
        raise CounterReset("the histogram of request durations was reset: the server restarted")
    deltas = {name: _worker_deltas(earlier, later, name) for name in _COUNTED}
    totals = {name: sum(by_worker.values()) for name, by_worker in deltas.items()}
    live = [worker for worker in later.workers.values() if worker.slots > 0]
    memory = [worker.memory_bytes for worker in live if worker.memory_bytes is not None]
    busy_slots = sum(worker.busy_slots for worker in live)
    slots = sum(worker.slots for worker in live)
    connections = sum(worker.connections for worker in live)
    lag = max((worker.lag_seconds for worker in live), default=0.0)
    queued = _queued(earlier, later, seconds, busy_slots=busy_slots, slots=slots, connections=connections)
    in_app = totals["busy_seconds"] / seconds
    return Observation(
        seconds=seconds,
        pods=1.0,
        requests=totals["requests"],
        errors=totals["errors"],
        busy_seconds_total=totals["busy_seconds"],
        cpu_seconds_total=totals["cpu_seconds"] + totals["children_cpu_seconds"],
        children_cpu_seconds_total=totals["children_cpu_seconds"],
        run_delay_seconds_total=totals["run_delay_seconds"],
        queued_seconds_total=queued * seconds,
        throttled_seconds_total=_delta("throttled seconds", earlier.throttled_seconds, later.throttled_seconds),
        duration_buckets=durations,
        busy_slots=busy_slots,
        slots=slots,
        backlog=later.backlog,
        connections=connections,
        workers_ready=later.workers_ready,
        cores=later.cores,
        peak_demand=max(busy_slots, in_app) + max(later.backlog, queued),
        busiest_worker_cores=max(deltas["cpu_seconds"].values(), default=0.0) / seconds,
        worker_memory_bytes=max(memory) if memory else None,
        worker_memory_bytes_mean=sum(memory) / len(memory) if memory else None,
        memory_limit_bytes=later.memory_limit_bytes,
        lag_seconds=lag,
        lag_seconds_mean=lag,
        settings_desired=later.settings_desired,
        settings_active=later.settings_active,
        steady=(
            later.settings_active is not None
            and earlier.settings_active == later.settings_active
            and earlier.generation == later.generation
        ),
        generation=later.generation,
        switches_rejected=_delta("rejected switches", earlier.switches_rejected, later.switches_rejected),
        switches_rolled_back=_delta("switches rolled back", earlier.switches_rolled_back, later.switches_rolled_back),
        oom_exits=_delta("OOM kills", earlier.oom_exits, later.oom_exits),
        available_classes=later.available_classes,
        blocking_modules=later.blocking_modules,
        cores_per_process=later.cores_per_process,
        pods_full_of_retiring=float(later.is_full_of_retiring),
        traits=later.traits,
        pool_size=min((worker.pool_size for worker in live if worker.pool_size), default=0.0),
        pool_in_use=sum(worker.pool_in_use for worker in live) / max(1, len(live)),
    )


def _delta(what: str, earlier: float, later: float, tolerance: float = 0.0) -> float:
    if later < earlier - max(tolerance, _ROUNDING * earlier):
        raise CounterReset(f"{what} fell from {earlier:g} to {later:g}: the server restarted")
    return max(0.0, later - earlier)


def _worker_deltas(earlier: Snapshot, later: Snapshot, name: str) -> dict[int, float]:
    tolerance = _ACCOUNTING_SECONDS if name in _ACCOUNTED else 0.0
    return {
        index: _delta(
            f"{name} of worker {index}",
            getattr(earlier.workers[index], name) if index in earlier.workers else 0.0,
            getattr(worker, name),
            tolerance,
        )
        for index, worker in later.workers.items()
    }


def _queued(
    earlier: Snapshot, later: Snapshot, seconds: float, *, busy_slots: float, slots: float, connections: float
) -> float:
    if earlier.queue_seconds is not None and later.queue_seconds is not None:
        return _delta("queue seconds", earlier.queue_seconds, later.queue_seconds) / seconds
    # Queueing is not measured: while the slots are full, each further connection may wait for one.
    return max(0.0, connections - busy_slots) if slots and busy_slots >= 0.9 * slots else 0.0
