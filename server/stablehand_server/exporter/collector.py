"""The metrics contract, collected from the shared mapping, /proc and the cgroup at each scrape."""

from __future__ import annotations

import sys
import threading
import time
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from stablehand_server.exporter import reading
from stablehand_server.linux import cgroup
from stablehand_server.measure import blocking_modules, traits
from stablehand_server.shared_memory import COUNTERS, Cell, Server, State
from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric as Family

    from stablehand_server.exporter.processes import Processes, ProcessReading
    from stablehand_server.shared_memory import Slots

_CLASSES = tuple(WorkerClass)
_CUSTOM_CLASS = "custom"  # a class of the user's own
_SETTING_NAMES = ("workers", "threads", "worker_connections")
_STATE_NAMES = {State.BOOTING: "booting", State.READY: "ready", State.RETIRING: "retiring"}
_SECONDS = (*map(floatToGoString, names.DURATION_BUCKETS), "+Inf")
_BYTES = (*map(floatToGoString, names.BODY_BUCKETS), "+Inf")
_MODES = ("user", "system")
_NO_COUNTS = [0.0] * len(COUNTERS)
# Places in COUNTERS
_REQUESTS = COUNTERS.index(Cell.REQUESTS)
_DURATION_SECONDS = COUNTERS.index(Cell.DURATION_SECONDS)
_RUN_DELAY_SECONDS = COUNTERS.index(Cell.RUN_DELAY_SECONDS)
_CHILDREN_CPU_SECONDS = COUNTERS.index(Cell.CHILDREN_CPU_SECONDS)
_CPU_USER_SECONDS = COUNTERS.index(Cell.CPU_USER_SECONDS)
_CPU_SYSTEM_SECONDS = COUNTERS.index(Cell.CPU_SYSTEM_SECONDS)


class ServerCollector(Collector):
    """Yields every family of the contract that the server itself can measure; safe for concurrent scrapes."""

    def __init__(self, slots: Slots, processes: Processes, granted: cgroup.Cgroup) -> None:
        self._slots = slots
        self._processes = processes
        self._cgroup = granted
        self._one_at_a_time = threading.Lock()
        self._cpu_seconds_shown: dict[tuple[int, str], float] = {}

    def collect(self) -> Iterator[Family]:
        """Read everything once, and yield the families.

        Raises:
            MappingBusy: when the master does not complete a change of the mapping in time.
        """
        with self._one_at_a_time:
            # /proc first: a process that ends in between is then counted by its earlier reading or by its totals, which
            # are the larger of the two, and never by neither.
            processes = self._processes.read(self._slots.living())
            mapping = reading.read(self._slots)
            by_index = _by_index(mapping)
            families = [
                *self._worker_counters(mapping, by_index, processes),
                *_worker_gauges(by_index, processes),
                *_server_families(mapping),
                *_settings_families(mapping),
                *_trial_families(mapping, by_index),
                *self._machine_families(),
            ]
        yield from families

    def _worker_counters(
        self,
        mapping: reading.Reading,
        by_index: Mapping[int, Sequence[list[float]]],
        processes: Mapping[int, ProcessReading],
    ) -> Iterable[CounterMetricFamily]:
        requests, busy = _counter(names.WORKER_REQUESTS), _counter(names.WORKER_BUSY_SECONDS)
        cpu, delay = _counter(names.WORKER_CPU_SECONDS), _counter(names.WORKER_RUN_DELAY_SECONDS)
        children = _counter(names.WORKER_CHILDREN_CPU_SECONDS)
        for index, records in by_index.items():
            counters = _sums(mapping, index, records)
            worker = str(index)
            if not _unknown(records, counters):
                for place, code in enumerate(names.STATUS_CODES, _REQUESTS):
                    requests.add_metric([worker, code], counters[place])
                busy.add_metric([worker], counters[_DURATION_SECONDS])
            delay.add_metric([worker], counters[_RUN_DELAY_SECONDS])
            children.add_metric([worker], counters[_CHILDREN_CPU_SECONDS])
            living = [processes[age] for cells in records if (age := int(cells[Cell.AGE])) in processes]
            user = counters[_CPU_USER_SECONDS] + sum(each.user_seconds for each in living)
            system = counters[_CPU_SYSTEM_SECONDS] + sum(each.system_seconds for each in living)
            for mode, seconds in zip(_MODES, (user, system), strict=True):
                # What the master accounts for an ended process may differ from /proc by a clock tick.
                shown = max(seconds, self._cpu_seconds_shown.get((index, mode), 0.0))
                self._cpu_seconds_shown[index, mode] = shown
                cpu.add_metric([worker, mode], shown)
        return requests, busy, cpu, delay, children

    def _machine_families(self) -> Iterable[Family]:
        granted = self._cgroup.read()
        yield _gauge(names.CPU_COUNT, cgroup.cpu_count())
        yield _gauge(names.CPU_LIMIT_CORES, granted.cores)
        yield _gauge(names.MEMORY_LIMIT_BYTES, granted.memory_bytes)
        # an extension may re-enable the lock in one worker alone: that is not visible here
        yield _gauge(names.GIL_ENABLED, float(getattr(sys, "_is_gil_enabled", lambda: True)()))
        throttled = _counter(names.CPU_THROTTLED_SECONDS)
        throttled.add_metric([], granted.throttled_seconds)
        yield throttled


def unready(slots: Slots) -> str | None:
    """Return in one sentence why the server should get no requests now, or None if it should."""
    if slots.server[Server.STOPPING]:
        return "the server is shutting down"
    states = [record.cells[Cell.STATE] for record in slots.living()]
    if State.READY in states:
        return None
    return "no worker is ready: " + ("the first one boots" if State.BOOTING in states else "none is there")


def _worker_gauges(
    by_index: Mapping[int, Sequence[list[float]]], processes: Mapping[int, ProcessReading]
) -> Iterable[GaugeMetricFamily]:
    info, slots = _gauge(names.WORKER_INFO), _gauge(names.WORKER_SLOTS)
    busy, connections, lag = (
        _gauge(metric) for metric in (names.WORKER_BUSY_SLOTS, names.WORKER_CONNECTIONS, names.WORKER_LAG_SECONDS)
    )
    oldest, now = _gauge(names.WORKER_OLDEST_REQUEST_SECONDS), time.monotonic()
    pools = [_gauge(each) for each in (names.WORKER_POOL_SIZE, names.WORKER_POOL_IN_USE, names.WORKER_POOL_WAITING)]
    resident, proportional = _gauge(names.WORKER_RESIDENT_MEMORY_BYTES), _gauge(names.WORKER_PROPORTIONAL_MEMORY_BYTES)
    for index, records in by_index.items():
        labels = [str(index)]
        # an old and a new process share an index while one retires: both have clients, the newest ready one counts
        speaker = max(records, key=lambda cells: (cells[Cell.STATE] == State.READY, cells[Cell.AGE]), default=None)
        serves = speaker is not None and speaker[Cell.STATE] != State.RETIRING  # a retiring one serves no new requests
        if not any(cells[Cell.REQUESTS_UNKNOWN] for cells in records):
            busy.add_metric(labels, sum(cells[Cell.BUSY] for cells in records))
            connections.add_metric(labels, sum(cells[Cell.CONNECTIONS] for cells in records))
            slots.add_metric(labels, speaker[Cell.SLOTS] if speaker is not None and serves else 0.0)
            oldest.add_metric(labels, max((_oldest_request(cells, now) for cells in records), default=0.0))
            lag.add_metric(labels, 0.0 if speaker is None else speaker[Cell.LAG_SECONDS])
        if speaker is None:
            continue  # between two processes there is no class and no memory
        info.add_metric([*labels, _class_name(speaker[Cell.WORKER_CLASS]) or _CUSTOM_CLASS], 1)
        for place, library in enumerate(names.POOL_LIBRARIES):
            use = speaker[Cell.POOLS + len(pools) * place :][: len(pools)]
            for family, value in zip(pools, use, strict=True):
                if use[0]:
                    family.add_metric([*labels, library], value)
        process = processes.get(int(speaker[Cell.AGE]))
        if process is not None and process.resident_bytes is not None:
            resident.add_metric(labels, process.resident_bytes)
        if process is not None and process.proportional_bytes is not None:
            proportional.add_metric(labels, process.proportional_bytes)
    return info, slots, busy, connections, lag, oldest, resident, proportional, *pools


def _oldest_request(cells: Sequence[float], now: float) -> float:
    """Return for how many seconds the oldest request of a process has been inside the app; 0 if there is none."""
    since = cells[Cell.OLDEST_REQUEST_SINCE]
    return max(0.0, now - since) if cells[Cell.BUSY] and since else 0.0


def _server_families(mapping: reading.Reading) -> Iterable[Family]:
    server = mapping.server
    states = [cells[Cell.STATE] for cells in mapping.records]
    workers = _gauge(names.WORKERS)
    for state, name in _STATE_NAMES.items():
        workers.add_metric([name], states.count(state))
    yield workers
    yield _gauge(names.RETIRE_LIMIT, server[Server.RETIRE_LIMIT])
    yield _fixed_counter(names.WORKER_EXITS, names.EXIT_REASONS, server[Server.EXITS :])
    counted = (cells[COUNTERS.start : COUNTERS.stop] for cells in mapping.records)
    whole = [sum(column) for column in zip(_NO_COUNTS, *mapping.totals.values(), *counted, strict=True)]
    if not _unknown(mapping.records, whole):
        yield _histogram(names.REQUEST_DURATION_SECONDS, whole, _SECONDS, Cell.DURATION_BUCKETS, Cell.DURATION_SECONDS)
        yield _histogram(names.REQUEST_QUEUE_SECONDS, whole, _SECONDS, Cell.QUEUE_BUCKETS, Cell.QUEUE_SECONDS)
        yield _histogram(names.RESPONSE_BODY_BYTES, whole, _BYTES, Cell.BODY_BUCKETS, Cell.BODY_BYTES)
        yield _fixed_counter(names.RESPONSES, names.NOTED_STATUSES, whole[Cell.NOTED - COUNTERS.start :])
    yield _gauge(names.LISTEN_BACKLOG, server[Server.BACKLOG])
    yield _gauge(names.LISTEN_BACKLOG_LIMIT, server[Server.BACKLOG_LIMIT])
    modules = _gauge(names.BLOCKING_MODULE_INFO)
    loaded = 0
    for cells in mapping.records:
        loaded |= int(cells[Cell.BLOCKING_MODULES])
    for module in blocking_modules.names(loaded):
        modules.add_metric([module], 1)
    yield modules
    found = 0
    for cells in mapping.records:
        found |= int(cells[Cell.TRAITS])
    for metric in traits.METRICS:
        family = _gauge(metric)
        for value in traits.values(metric, found):
            family.add_metric([value], 1)
        yield family


def _settings_families(mapping: reading.Reading) -> Iterable[Family]:
    server = mapping.server
    numbers, classes = _gauge(names.SETTING), _gauge(names.SETTING_WORKER_CLASS_INFO)
    for kind, start in zip(names.SETTING_KINDS, (Server.DESIRED, Server.ACTIVE), strict=True):
        place, *counts = server[start : start + 4]
        for name, count in zip(_SETTING_NAMES, counts, strict=True):
            numbers.add_metric([name, kind], count)
        worker_class = _class_name(place)
        if worker_class is not None and counts[0]:  # without workers the master has not written them yet
            classes.add_metric([worker_class, kind], 1)
    yield numbers
    yield classes
    available = _gauge(names.AVAILABLE_WORKER_CLASS_INFO)
    bitmap = int(server[Server.AVAILABLE_CLASSES]) & ~int(server[Server.EXCLUDED_CLASSES])
    for place, each in enumerate(_CLASSES):
        if bitmap & 1 << place:
            available.add_metric([each.value], 1)
    yield available
    yield _gauge(names.GENERATION, server[Server.GENERATION])
    yield _gauge(names.SETTINGS_REFUSED, server[Server.REFUSED])
    yield _fixed_counter(names.GENERATION_SWITCHES, names.SWITCH_OUTCOMES, server[Server.SWITCHES :])


def _trial_families(
    mapping: reading.Reading, by_index: Mapping[int, Sequence[list[float]]]
) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
    server = mapping.server
    yield _fixed_counter(names.TRIALS, names.TRIAL_OUTCOMES, server[Server.TRIALS :])
    yield _gauge(names.TRIAL_ID, server[Server.TRIAL_ID])
    states = _gauge(names.TRIAL_STATE)
    for place, state in enumerate(names.TRIAL_STATES, 1):
        states.add_metric([state], float(server[Server.TRIAL_STATE] == place))
    yield states
    workers = _gauge(names.WORKER_ON_TRIAL)
    for index, records in by_index.items():
        workers.add_metric([str(index)], float(any(_is_on_trial(cells) for cells in records)))
    yield workers


def _is_on_trial(cells: Sequence[float]) -> bool:
    return bool(cells[Cell.ON_TRIAL]) and cells[Cell.STATE] != State.RETIRING


def _by_index(mapping: reading.Reading) -> dict[int, list[list[float]]]:
    """Return the records in use by worker index: of indexes that should have a process, and of those that still do."""
    found: dict[int, list[list[float]]] = {index: [] for index in range(int(mapping.server[Server.WORKERS]))}
    for cells in mapping.records:
        found.setdefault(int(cells[Cell.INDEX]), []).append(cells)
    return dict(sorted(found.items()))


def _sums(mapping: reading.Reading, index: int, records: Sequence[list[float]]) -> list[float]:
    """Return the counters of an index, in the order of COUNTERS: the sum over ended and running processes."""
    rows = [cells[COUNTERS.start : COUNTERS.stop] for cells in records]
    rows.append(mapping.totals.get(index) or _NO_COUNTS)
    return rows[0] if len(rows) == 1 else [sum(column) for column in zip(*rows, strict=True)]


def _unknown(records: Sequence[list[float]], counters: Sequence[float]) -> bool:
    """Return whether requests are not counted: zero would mean that there are none. What was counted once is kept."""
    counted = any(counters[_REQUESTS:_RUN_DELAY_SECONDS])
    return not counted and any(cells[Cell.REQUESTS_UNKNOWN] for cells in records)


def _class_name(place: float) -> str | None:
    return _CLASSES[int(place)].value if 0 <= place < len(_CLASSES) else None


def _gauge(metric: names.Metric, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, value=value, labels=metric.labels or None)


def _counter(metric: names.Metric) -> CounterMetricFamily:
    return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)


def _fixed_counter(metric: names.Metric, values: Sequence[str], cells: Sequence[float]) -> CounterMetricFamily:
    family = _counter(metric)
    for value, count in zip(values, cells, strict=False):
        family.add_metric([value], count)
    return family


def _histogram(
    metric: names.Metric, counters: Sequence[float], bounds: Sequence[str], buckets: int, total: int
) -> HistogramMetricFamily:
    first = buckets - COUNTERS.start
    cumulative = accumulate(counters[first : first + len(bounds)])
    family = HistogramMetricFamily(metric.name, metric.help)
    family.add_metric([], list(zip(bounds, cumulative, strict=True)), counters[total - COUNTERS.start])
    return family
