"""Pods as discrete events: the tuner's test bench.

A pod has processes, a process has slots and one interpreter lock, and the cores are shared by the processes that
compute (processor sharing). Clients keep as many requests in flight as there are clients (closed loop), or requests
come at a rate (open loop). What comes out are the samples of an exposition, so that a test walks the whole path from
snapshot to decision.

The lock is fair: all requests that compute in one process advance at the same pace. Everything random comes from the
seed.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import math
import random
from collections import deque
from typing import TYPE_CHECKING

from stablehand_tuner import metric_names as names
from stablehand_tuner.settings import Settings, WorkerClass
from stablehand_tuner.simulated_app import App, Machine
from stablehand_tuner.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["App", "Machine", "Pod"]

Sample = tuple[str, "Mapping[str, str]", float]


@dataclasses.dataclass
class _Request:
    arrived: float
    began: float = 0.0
    compute: float = 0.0
    wait: float = 0.0
    failed: bool = False
    waited: bool = False
    # on a blocked event loop the wait holds the process as computing does, without using a core
    idle_share: float = 0.0


@dataclasses.dataclass
class _Process:
    """One worker: its slots, and the requests that compute in it, by the virtual time at which each is done."""

    index: int
    settings: Settings
    virtual: float = 0.0
    computing: list[tuple[float, int, _Request]] = dataclasses.field(default_factory=list)
    in_flight: int = 0
    retiring: bool = False

    @property
    def slots(self) -> int:
        return self.settings.slots_per_worker


@dataclasses.dataclass
class _Counters:
    """What one worker index has counted; it outlives the processes that had the index."""

    requests: float = 0.0
    errors: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    run_delay: float = 0.0


class Pod:
    """One simulated pod under load; `run_until` advances it, `snapshot` scrapes it, `apply` gives it new settings."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        *,
        clients: int = 0,
        rate: float = 0.0,
        machine: Machine | None = None,
        seed: int = 0,
    ) -> None:
        """Start the pod with its clients.

        Args:
            app: what a request does.
            settings: what the server starts with.
            clients: requests that are always in flight, each client sending the next when the last is answered.
            rate: further requests per second, at random moments.
            machine: what the pod may use.
            seed: of everything random.
        """
        self.app = app
        self.machine = machine or Machine()
        self.now = 0.0
        self.clients = clients
        self.rate = rate
        self.desired = settings
        self.active = settings
        self.generation = 1
        self.rejected = 0
        self.finished = 0
        self._random = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
        self._sequence = 0
        self._processes: list[_Process] = []
        self._counters: dict[int, _Counters] = {}
        self._queue: deque[_Request] = deque()
        self._events: list[tuple[float, int, str, object]] = []
        self._queue_seconds = 0.0
        self._buckets = [0.0] * (len(names.DURATION_BUCKETS) + 1)
        self._boot(settings)
        for _ in range(clients):
            self._schedule(0.001 * self._random.random(), "arrival", "client")
        if rate:
            self._schedule(self._random.expovariate(rate), "arrival", "open")

    def set_clients(self, clients: int) -> None:
        """Change the number of clients: new ones begin at once, those too many stop after their request."""
        for _ in range(clients - self.clients):
            self._schedule(self.now, "arrival", "client")
        self.clients = clients

    def apply(self, settings: Settings) -> None:
        """Write the settings that the server should run; they become active after the boot time."""
        if settings == self.desired:
            return
        self.desired = settings
        self._schedule(self.now + self.machine.boot_seconds, "switch", settings)

    def run_until(self, moment: float) -> None:
        """Advance the simulation to the moment, in seconds since the start."""
        while True:
            upcoming = self._events[0][0] if self._events else math.inf
            first, done = self._next_completion()
            at = min(upcoming, done, moment)
            self._advance(at - self.now)
            self.now = at
            if at >= moment:
                return
            if first is not None and done <= upcoming:
                self._complete(first)
            else:
                _, _, kind, what = heapq.heappop(self._events)
                self._handle(kind, what)

    def snapshot(self) -> Snapshot:
        """Scrape the pod."""
        return Snapshot.from_samples(self.samples(), at=self.now)

    def samples(self) -> Iterator[Sample]:
        """Yield the exposition of this moment, sample by sample."""
        live = {each.index: each for each in self._processes}
        for index, counters in self._counters.items():
            worker = {"worker": str(index)}
            yield names.WORKER_REQUESTS.sample_name, {**worker, "code": "2xx"}, counters.requests - counters.errors
            yield names.WORKER_REQUESTS.sample_name, {**worker, "code": "5xx"}, counters.errors
            yield names.WORKER_BUSY_SECONDS.sample_name, worker, counters.busy
            yield names.WORKER_CPU_SECONDS.sample_name, {**worker, "mode": "user"}, counters.cpu
            yield names.WORKER_RUN_DELAY_SECONDS.sample_name, worker, counters.run_delay
            if index in live:
                process = live[index]
                yield names.WORKER_SLOTS.sample_name, worker, process.slots
                yield names.WORKER_BUSY_SLOTS.sample_name, worker, process.in_flight
                yield names.WORKER_CONNECTIONS.sample_name, worker, process.in_flight
                yield names.WORKER_LAG_SECONDS.sample_name, worker, self._lag(process)
                memory = self.app.process_bytes + self.app.request_bytes * process.in_flight
                yield names.WORKER_PROPORTIONAL_MEMORY_BYTES.sample_name, worker, memory
        yield names.WORKERS.sample_name, {"state": "ready"}, len(live)
        below = 0.0
        for bound, count in zip((*names.DURATION_BUCKETS, math.inf), self._buckets, strict=True):
            below += count
            yield f"{names.REQUEST_DURATION_SECONDS.name}_bucket", {"le": str(bound)}, below
        yield f"{names.REQUEST_QUEUE_SECONDS.name}_sum", {}, self._queue_seconds
        # a sync worker takes a connection only when it is free; the others take them all and queue them inside
        in_kernel = self.active.worker_class is WorkerClass.SYNC
        yield names.LISTEN_BACKLOG.sample_name, {}, len(self._queue) if in_kernel else 0
        yield from self._settings_samples()
        yield from self._machine_samples()

    def _settings_samples(self) -> Iterator[Sample]:
        for kind, settings in (("desired", self.desired), ("active", self.active)):
            for name in ("workers", "threads", "worker_connections"):
                yield names.SETTING.sample_name, {"name": name, "kind": kind}, getattr(settings, name)
            info = {"worker_class": settings.worker_class.value, "kind": kind}
            yield names.SETTING_WORKER_CLASS_INFO.sample_name, info, 1
        yield names.GENERATION.sample_name, {}, self.generation
        yield names.GENERATION_SWITCHES.sample_name, {"outcome": "rejected"}, self.rejected
        yield names.GENERATION_SWITCHES.sample_name, {"outcome": "rolled_back"}, 0

    def _machine_samples(self) -> Iterator[Sample]:
        yield names.CPU_LIMIT_CORES.sample_name, {}, self.machine.cores
        yield names.CPU_COUNT.sample_name, {}, math.ceil(self.machine.cores)
        if self.machine.memory_limit is not None:
            yield names.MEMORY_LIMIT_BYTES.sample_name, {}, self.machine.memory_limit
        for worker_class in sorted(self.machine.available_classes):
            yield names.AVAILABLE_WORKER_CLASS_INFO.sample_name, {"worker_class": worker_class.value}, 1
        for module in sorted(self.machine.blocking_modules):
            yield names.BLOCKING_MODULE_INFO.sample_name, {"module": module}, 1

    def _lag(self, process: _Process) -> float:
        """A timer on the loop waits for its turn among those that hold the process."""
        if process.settings.worker_class is not WorkerClass.GEVENT or not process.computing:
            return 0.0
        each = self.app.compute + (self.app.wait if self.app.blocks_event_loop else 0.0)
        return each * len(process.computing)

    def _schedule(self, at: float, kind: str, what: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at, self._sequence, kind, what))

    def _boot(self, settings: Settings) -> None:
        """Start a generation in free indexes; the old one retires as its requests finish."""
        for process in self._processes:
            process.retiring = True
        self._processes = [each for each in self._processes if each.in_flight]
        taken = {each.index for each in self._processes}
        free = (index for index in range(len(taken) + settings.workers) if index not in taken)
        for index, _ in zip(free, range(settings.workers), strict=False):
            self._counters.setdefault(index, _Counters())
            self._processes.append(_Process(index, settings))
        self.active = settings

    def _handle(self, kind: str, what: object) -> None:
        if kind == "arrival":
            if what == "open":
                self._schedule(self.now + self._random.expovariate(self.rate), "arrival", "open")
            self._queue.append(self._new_request())
            self._dispatch()
        elif kind == "switch" and isinstance(what, Settings):
            if self.machine.refuses(what):
                self.rejected += 1
                self.desired = self.active
                return
            self.generation += 1
            self._boot(what)
            self._dispatch()
        elif kind == "waited" and isinstance(what, tuple):
            process, request = what
            self._compute(process, request)

    def _new_request(self) -> _Request:
        return _Request(arrived=self.now, compute=self._vary(self.app.compute), wait=self._vary(self.app.wait))

    def _vary(self, mean: float) -> float:
        return max(mean * 0.05, self._random.gauss(mean, mean * self.app.jitter)) if mean else 0.0

    def _dispatch(self) -> None:
        """Give the queue's requests to workers with a free slot, at random: that is how accept() falls."""
        while self._queue:
            free = [each for each in self._processes if not each.retiring and each.in_flight < each.slots]
            if not free:
                return
            process = self._random.choice(free)
            request = self._queue.popleft()
            self._queue_seconds += self.now - request.arrived
            request.began = self.now
            share = self.app.error_share.get(process.settings.worker_class, 0.0)
            request.failed = bool(share) and self._random.random() < share
            if process.settings.worker_class is WorkerClass.GTHREAD:
                request.compute += self.app.thread_overhead * process.in_flight
            if process.settings.worker_class is WorkerClass.GEVENT and self.app.blocks_event_loop:
                held = request.compute + request.wait
                request.idle_share = request.wait / held if held else 0.0
                request.compute, request.wait = held, 0.0
            process.in_flight += 1
            self._compute(process, request)

    def _compute(self, process: _Process, request: _Request) -> None:
        """Let the request compute: half before its wait and half after it."""
        work = request.compute if not request.wait else request.compute / 2
        self._sequence += 1
        heapq.heappush(process.computing, (process.virtual + work, self._sequence, request))

    def _pace(self) -> float:
        """Return the share of a core that each process gets that computes."""
        computing = 0
        for each in self._processes:
            if each.computing:
                computing += 1
        return 1.0 if computing <= self.machine.cores else self.machine.cores / computing

    def _next_completion(self) -> tuple[_Process | None, float]:
        """Return the process that is next to finish a computation, and when."""
        first, shortest = None, math.inf
        for each in self._processes:
            if each.computing:
                work = (each.computing[0][0] - each.virtual) * len(each.computing)
                if work < shortest:
                    first, shortest = each, work
        return first, self.now + shortest / self._pace()

    def _advance(self, seconds: float) -> None:
        if seconds <= 0:
            return
        pace = self._pace()
        for process in self._processes:
            counters = self._counters[process.index]
            counters.busy += process.in_flight * seconds
            if process.computing:
                process.virtual += seconds * pace / len(process.computing)
                counters.cpu += seconds * pace * (1 - process.computing[0][2].idle_share)
                counters.run_delay += seconds * (1 - pace)

    def _complete(self, process: _Process) -> None:
        _, _, request = heapq.heappop(process.computing)
        if request.wait and not request.waited:
            request.waited = True
            self._schedule(self.now + request.wait, "waited", (process, request))
            return
        process.in_flight -= 1
        if process.retiring and not process.in_flight:
            self._processes.remove(process)
        counters = self._counters[process.index]
        counters.requests += 1
        counters.errors += request.failed
        self.finished += 1
        seconds = self.now - request.began
        self._buckets[bisect.bisect_left(names.DURATION_BUCKETS, seconds)] += 1
        self._answer()

    def _answer(self) -> None:
        """Let the client that was answered send its next request, unless there are too many clients by now."""
        in_system = len(self._queue) + sum(each.in_flight for each in self._processes)
        if not self.rate and in_system < self.clients:
            self._queue.append(self._new_request())
        self._dispatch()
