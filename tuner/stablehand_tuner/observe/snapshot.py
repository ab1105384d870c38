"""One scrape of one pod, reduced to what the tuner reads.

A pod runs the user's code, so nothing in a scrape is trusted: if a value is missing, negative, infinite, not a number
or given twice, the whole scrape is refused. A refused scrape counts as missing, and missing data counts as busy.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.settings import InvalidSettings, Settings
from stablehand_tuner.observe import exposition
from stablehand_tuner.observe.traits import NO_TRAITS, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stablehand_tuner.observe.exposition import Sample

HIGHEST_WORKER_INDEX = 2047  # twice the most workers that the settings allow, and a surge of one fits in
ERROR_CODES = frozenset({"5xx", "error"})


class IncompleteSnapshot(ValueError):  # noqa: N818 (a reader meets it in a sentence: "no usable scrape: ...")
    """A scrape with missing or impossible values; the message is one sentence that names them."""


@dataclasses.dataclass(frozen=True)
class WorkerReading:
    """The metrics of one worker index; counters since the server's start, seconds and bytes.

    `pool_size` and `pool_in_use` are the connections of the app's smallest pool in the process; 0 where it has none.
    `memory_bytes` is the PSS, or the RSS where the kernel does not report the PSS, or None where it reports neither.
    """

    requests: float
    errors: float
    busy_seconds: float
    cpu_seconds: float
    run_delay_seconds: float
    slots: float
    busy_slots: float
    connections: float
    lag_seconds: float
    memory_bytes: float | None
    children_cpu_seconds: float = 0.0
    pool_size: float = 0.0
    pool_in_use: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrialReading:
    """The trial that runs, or ran last: its id, its state, and, if it is on one worker, whose index while it runs."""

    id: int
    state: str
    worker: int | None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One pod at one moment.

    `at` is the moment in seconds, on any clock that both scrapes of a pair share. `duration_buckets` are pairs of
    upper bound in seconds and cumulative count. `queue_seconds` is None where the server does not measure queueing.
    `settings_active` is None while the server runs a mixture, in the middle of a switch.
    """

    at: float
    workers: Mapping[int, WorkerReading]
    workers_ready: int
    duration_buckets: tuple[tuple[float, float], ...]
    queue_seconds: float | None
    backlog: float
    settings_desired: Settings
    settings_active: Settings | None
    generation: int
    switches_rejected: float
    switches_rolled_back: float
    oom_exits: float
    cores: float
    memory_limit_bytes: float | None
    throttled_seconds: float
    available_classes: frozenset[str]
    blocking_modules: frozenset[str]
    cores_per_process: float = 1.0
    settings_refused: bool = False
    is_full_of_retiring: bool = False
    traits: Traits = NO_TRAITS
    trial: TrialReading | None = None

    @classmethod
    def from_text(cls, text: str, at: float, *, requested_cores: float | None = None) -> Snapshot:
        """Reduce one exposition in Prometheus' text format, as `from_samples` does.

        Raises:
            MalformedExposition: when it is none.
            IncompleteSnapshot: naming what is missing or impossible.
        """
        return cls.from_samples(list(exposition.samples(text)), at, requested_cores=requested_cores)

    @classmethod
    def from_samples(cls, samples: Iterable[Sample], at: float, *, requested_cores: float | None = None) -> Snapshot:
        """Reduce the samples of one exposition.

        Args:
            samples: sample name, labels and value; samples that the tuner does not read are passed over.
            at: the moment of the scrape, in seconds.
            requested_cores: the CPU request of the pod, where that is known: without a limit, these cores
                are what the pod can count on.

        Raises:
            IncompleteSnapshot: naming what is missing or impossible.
        """
        scrape = _Scrape(samples)
        workers = _workers(scrape)
        buckets = _buckets(scrape)
        cores = _cores(scrape.optional(names.CPU_LIMIT_CORES), requested_cores, scrape.optional(names.CPU_COUNT))
        desired = _settings(scrape, "desired")
        if desired is None:
            raise IncompleteSnapshot(
                f"the scrape lacks {names.SETTING.name} or {names.SETTING_WORKER_CLASS_INFO.name} of kind desired"
            )
        return cls(
            at=at,
            workers=workers,
            workers_ready=int(scrape.required(names.WORKERS, state="ready")),
            duration_buckets=buckets,
            queue_seconds=scrape.values(f"{names.REQUEST_QUEUE_SECONDS.name}_sum").get((), None),
            backlog=scrape.optional(names.LISTEN_BACKLOG) or 0.0,
            settings_desired=desired,
            settings_active=_settings(scrape, "active"),
            generation=int(scrape.optional(names.GENERATION) or 0),
            switches_rejected=scrape.optional(names.GENERATION_SWITCHES, outcome="rejected") or 0.0,
            switches_rolled_back=scrape.optional(names.GENERATION_SWITCHES, outcome="rolled_back") or 0.0,
            oom_exits=scrape.optional(names.WORKER_EXITS, reason="oom") or 0.0,
            cores=cores,
            memory_limit_bytes=scrape.optional(names.MEMORY_LIMIT_BYTES) or None,
            throttled_seconds=scrape.optional(names.CPU_THROTTLED_SECONDS) or 0.0,
            available_classes=scrape.labels_of_info(names.AVAILABLE_WORKER_CLASS_INFO, "worker_class"),
            blocking_modules=scrape.labels_of_info(names.BLOCKING_MODULE_INFO, "module"),
            # where a server does not report it, there is a lock
            cores_per_process=max(1.0, cores) if scrape.optional(names.GIL_ENABLED) == 0 else 1.0,
            is_full_of_retiring=_is_full_of_retiring(scrape),
            settings_refused=scrape.optional(names.SETTINGS_REFUSED) == 1,
            traits=_traits(scrape),
            trial=_trial(scrape, workers),
        )


class _Scrape:
    """The samples of the contract by name and labels, each checked to be a number that can be."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for name, labels, value in samples:
            if name not in _READ:
                continue
            if not math.isfinite(value) or value < 0:
                raise IncompleteSnapshot(f"{_series(name, labels)} is {value}: no such value can be")
            series = self._values.setdefault(name, {})
            key = tuple(sorted(labels.items()))
            if key in series:
                raise IncompleteSnapshot(f"{_series(name, labels)} is there twice")
            series[key] = value

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        return self._values.get(name, {})

    def optional(self, metric: names.Metric, **labels: str) -> float | None:
        return self.values(metric.sample_name).get(tuple(sorted(labels.items())))

    def required(self, metric: names.Metric, **labels: str) -> float:
        value = self.optional(metric, **labels)
        if value is None:
            raise IncompleteSnapshot(
                f"the scrape lacks {_series(metric.sample_name, labels)}: is this the metrics port of a "
                "Stablehand server of this version?"
            )
        return value

    def by_worker(self, metric: names.Metric, *, only: tuple[str, frozenset[str]] | None = None) -> dict[int, float]:
        """Sum a metric by worker index, over its other labels or over those of them that `only` names."""
        sums: dict[int, float] = {}
        for key, value in self.values(metric.sample_name).items():
            labels = dict(key)
            if only is not None and labels.get(only[0]) not in only[1]:
                continue
            index = _worker_index(metric.sample_name, labels)
            sums[index] = sums.get(index, 0.0) + value
        return sums

    def labels_of_info(self, metric: names.Metric, label: str) -> frozenset[str]:
        """Return the values of a label of an info metric: those with the value 1."""
        series = self.values(metric.sample_name)
        return frozenset(dict(key).get(label, "") for key, value in series.items() if value == 1)


_READ = frozenset(
    {
        *(metric.sample_name for metric in names.ALL if metric.kind != "histogram"),
        f"{names.REQUEST_DURATION_SECONDS.name}_bucket",
        f"{names.REQUEST_QUEUE_SECONDS.name}_sum",
    }
)


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def _worker_index(name: str, labels: Mapping[str, str]) -> int:
    text = labels.get("worker", "")
    if not (text.isascii() and text.isdigit()) or int(text) > HIGHEST_WORKER_INDEX:
        raise IncompleteSnapshot(f"{_series(name, labels)}: worker must be an index, 0 to {HIGHEST_WORKER_INDEX}")
    return int(text)


def _traits(scrape: _Scrape) -> Traits:
    return Traits(
        patched_by=scrape.labels_of_info(names.APP_PATCHED_INFO, "library"),
        imported_early=scrape.labels_of_info(names.IMPORTED_EARLY_INFO, "module"),
        runs=scrape.labels_of_info(names.APP_RUNS_INFO, "what"),
    )


def _is_full_of_retiring(scrape: _Scrape) -> bool:
    """Tell whether a change that needs processes would wait in the server; without a limit it never would."""
    limit = scrape.optional(names.RETIRE_LIMIT)
    return bool(limit) and (scrape.optional(names.WORKERS, state="retiring") or 0.0) >= (limit or 0.0)


def _trial(scrape: _Scrape, workers: Mapping[int, WorkerReading]) -> TrialReading | None:
    """Read what the server reports of trials; whoever contradicts itself counts as one that does not know them."""
    number = scrape.optional(names.TRIAL_ID)
    if not scrape.values(names.TRIALS.sample_name) or number is None or number != int(number):
        return None
    on_trial = [
        _worker_index(names.WORKER_ON_TRIAL.name, dict(key))
        for key, value in scrape.values(names.WORKER_ON_TRIAL.sample_name).items()
        if value == 1
    ]
    states = sorted(scrape.labels_of_info(names.TRIAL_STATE, "state"))
    if not workers.keys() >= set(on_trial) or len(states) != (number > 0):
        return None
    return TrialReading(int(number), states[0] if states else "", on_trial[0] if len(on_trial) == 1 else None)


def _workers(scrape: _Scrape) -> dict[int, WorkerReading]:
    """Read every worker that has all three counters; one that just appears may still lack some."""
    requests = scrape.by_worker(names.WORKER_REQUESTS)
    busy = scrape.by_worker(names.WORKER_BUSY_SECONDS)
    cpu = scrape.by_worker(names.WORKER_CPU_SECONDS)
    for metric, series in (
        (names.WORKER_REQUESTS, requests),
        (names.WORKER_BUSY_SECONDS, busy),
        (names.WORKER_CPU_SECONDS, cpu),
    ):
        if not series:
            raise IncompleteSnapshot(f"the scrape lacks {metric.sample_name}: no worker has reported yet")
    errors = scrape.by_worker(names.WORKER_REQUESTS, only=("code", ERROR_CODES))
    delay = scrape.by_worker(names.WORKER_RUN_DELAY_SECONDS)
    slots = scrape.by_worker(names.WORKER_SLOTS)
    busy_slots = scrape.by_worker(names.WORKER_BUSY_SLOTS)
    connections = scrape.by_worker(names.WORKER_CONNECTIONS)
    lag = scrape.by_worker(names.WORKER_LAG_SECONDS)
    children = scrape.by_worker(names.WORKER_CHILDREN_CPU_SECONDS)
    pools = _pools(scrape)
    proportional = scrape.by_worker(names.WORKER_PROPORTIONAL_MEMORY_BYTES)
    resident = scrape.by_worker(names.WORKER_RESIDENT_MEMORY_BYTES)
    return {
        index: WorkerReading(
            requests=requests[index],
            errors=errors.get(index, 0.0),
            busy_seconds=busy[index],
            cpu_seconds=cpu[index],
            run_delay_seconds=delay.get(index, 0.0),
            slots=slots.get(index, 0.0),
            busy_slots=busy_slots.get(index, 0.0),
            connections=connections.get(index, 0.0),
            lag_seconds=lag.get(index, 0.0),
            # a process always has some memory: 0 means that the kernel did not report it
            memory_bytes=proportional.get(index) or resident.get(index) or None,
            children_cpu_seconds=children.get(index, 0.0),
            pool_size=pools.get(index, _NO_POOL)[0],
            pool_in_use=pools.get(index, _NO_POOL)[1],
        )
        for index in sorted(requests.keys() & busy.keys() & cpu.keys())
    }


_NO_POOL = (0.0, 0.0)


def _pools(scrape: _Scrape) -> dict[int, tuple[float, float]]:
    """Return the size of each worker's smallest pool, and how much of that is in use."""
    found: dict[int, tuple[float, float]] = {}
    for key, size in scrape.values(names.WORKER_POOL_SIZE.sample_name).items():
        index = _worker_index(names.WORKER_POOL_SIZE.sample_name, dict(key))
        in_use = scrape.values(names.WORKER_POOL_IN_USE.sample_name).get(key, 0.0)
        if size:
            found[index] = min(found.get(index, (size, in_use)), (size, in_use))
    return found


def _buckets(scrape: _Scrape) -> tuple[tuple[float, float], ...]:
    name = f"{names.REQUEST_DURATION_SECONDS.name}_bucket"
    buckets: list[tuple[float, float]] = []
    for key, count in scrape.values(name).items():
        try:
            bound = float(dict(key)["le"])
        except (KeyError, ValueError):
            raise IncompleteSnapshot(f"{_series(name, dict(key))}: le must be a number of seconds") from None
        if math.isnan(bound):
            raise IncompleteSnapshot(f"{_series(name, dict(key))}: le must be a number of seconds")
        buckets.append((bound, count))
    buckets.sort()
    if not buckets or not math.isinf(buckets[-1][0]):
        raise IncompleteSnapshot(f'the scrape lacks {name}{{le="+Inf"}}')
    counts = [count for _, count in buckets]
    if counts != sorted(counts):
        raise IncompleteSnapshot(f"{name}: a wider bucket counts less than a narrower one")
    return tuple(buckets)


def _settings(scrape: _Scrape, kind: str) -> Settings | None:
    """Read the desired or the active settings; None where they are not there or not of one class.

    Raises:
        IncompleteSnapshot: where they are there, but no server could run them.
    """
    info = scrape.values(names.SETTING_WORKER_CLASS_INFO.sample_name)
    classes = [dict(key).get("worker_class", "") for key, value in info.items() if value == 1 and ("kind", kind) in key]
    numbers = {
        name: scrape.optional(names.SETTING, name=name, kind=kind)
        for name in ("workers", "threads", "worker_connections")
    }
    if len(classes) != 1 or None in numbers.values():
        return None
    fractions = [name for name, value in numbers.items() if value is None or value != int(value)]
    if fractions:
        raise IncompleteSnapshot(f"{names.SETTING.name} {fractions[0]} of kind {kind} is no whole number")
    counts = {name: int(value) for name, value in numbers.items() if value is not None}
    try:
        return Settings.from_mapping(
            {
                "workerClass": classes[0],
                "workers": counts["workers"],
                "threads": counts["threads"],
                "workerConnections": counts["worker_connections"],
            }
        )
    except InvalidSettings as error:
        raise IncompleteSnapshot(f"the {kind} settings of the scrape are no settings: {error}") from error


def _cores(limit: float | None, requested: float | None, count: float | None) -> float:
    """Return the cores by the limit, else the request, else what the machine has.

    A request of a fraction is what a pod gets at worst; one process can use a whole core, and mostly may.
    """
    cores = limit or (max(1.0, requested) if requested else None) or count
    if not cores:
        raise IncompleteSnapshot(f"the scrape lacks both {names.CPU_LIMIT_CORES.name} and {names.CPU_COUNT.name}")
    # a limit above what the machine has grants no more than the machine has
    return min(cores, count) if count else cores
