"""Several pods of one app behind a balancer, by formulas instead of single requests.

Between two scrapes requests flow as `steady` says, with the noise that counts have. It has the face of `cluster`, is
about a thousand times as fast, and knows less: what lasts shorter than the time between two scrapes is not in it.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

from stablehand_tuner.metric_names import DURATION_BUCKETS
from stablehand_tuner.settings import Settings, WorkerClass
from stablehand_tuner.simulator import gamma, steady
from stablehand_tuner.simulator.app import App, Machine
from stablehand_tuner.simulator.exposition import Sample, ServerCounters, WorkerGauges, samples
from stablehand_tuner.simulator.process import Counters
from stablehand_tuner.simulator.steady import Steady
from stablehand_tuner.snapshot import Snapshot, WorkerReading

if TYPE_CHECKING:
    from collections.abc import Iterator

_BISECTIONS = 12
_KEPT = 64  # solutions; one app meets few different situations
_NOISE_SHARE = 0.7  # of a Poisson process' deviation: closed loops are steadier than open ones
_STEPS = 20.0  # noise of the load comes in so many steps, so that solutions can be used again


class FluidServer:
    """One pod's server; its cluster drives it.

    Args:
        settings: what runs from the start.
        machine: what the pod may use.
    """

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self.machine = machine
        self.runs = settings
        self.backlog = 0.0
        self.peak_memory_bytes = 0.0
        self.now = 0.0
        self.switched_at = math.inf
        self._counts = ServerCounters(desired=settings, active=settings)
        self._counters: dict[int, Counters] = {index: Counters() for index in range(settings.workers)}
        self._state = Steady()
        self._app_bytes = (0.0, 0.0)
        self._template: Snapshot | None = None
        self._template_of: tuple[object, ...] = ()

    @property
    def active(self) -> Settings | None:
        """The settings that all workers run; None in the middle of a switch."""
        return self._counts.active

    @property
    def desired(self) -> Settings:
        """The settings that the server was told to run, and did not refuse."""
        return self._counts.desired

    @property
    def rejected(self) -> int:
        """How many settings the server refused."""
        return self._counts.rejected

    @property
    def oom_exits(self) -> int:
        """How many workers were killed for their memory."""
        return self._counts.oom_exits

    def apply(self, settings: Settings) -> None:
        """Write the settings that the server should run; they serve once as many workers have booted, in turn."""
        if settings == self._counts.desired:
            return
        self._counts.desired = settings
        boots = settings.workers
        if (settings.worker_class, settings.slots_per_worker) == (self.runs.worker_class, self.runs.slots_per_worker):
            boots = 1 if settings.workers > self.runs.workers else 0
        self.switched_at = self.now + self.machine.boot_seconds * (1 if self.machine.refuses(settings) else boots)
        if not self.machine.refuses(settings):
            self._counts.active = None

    def switch(self) -> None:
        """End the switch that is under way."""
        self.switched_at = math.inf
        counts = self._counts
        if self.machine.refuses(counts.desired):
            counts.rejected += 1
            counts.desired = self.runs
        else:
            self.runs = counts.active = counts.desired
            counts.generation += 1
            for index in range(self.runs.workers):
                self._counters.setdefault(index, Counters())

    def serve(self, app: App, state: Steady, until: float, factor: float) -> None:
        """Count what happens until then; `factor` is the noise of this stretch."""
        seconds = until - self.now
        self.now, self._state = until, state
        self._app_bytes = (app.process_bytes, app.request_bytes)
        if seconds <= 0:
            return
        workers, counts = self.runs.workers, self._counts
        lost = self._kill(app, state, seconds)
        done = state.throughput * seconds * factor
        for index in range(workers):
            each = self._counters[index]
            each.requests += (done + lost) / workers
            each.errors += done * state.errors / workers
            each.lost += lost / workers
            each.busy += state.inside * seconds * factor / workers
            each.cpu += state.cores_used * seconds * factor / workers
            each.run_delay += state.run_delay * seconds * factor / workers
        counts.queue_seconds += state.queued * seconds
        counts.throttled_seconds += state.throttled * seconds
        below = 0.0
        for place, bound in enumerate((*DURATION_BUCKETS, math.inf)):
            up_to = 1.0
            if not math.isinf(bound):
                up_to = gamma.share_below(bound, state.inside_seconds, state.inside_deviation)
            counts.durations.counts[place] += done * (up_to - below)
            below = up_to

    def _kill(self, app: App, state: Steady, seconds: float) -> float:
        """Return the requests that are lost because workers are killed for their memory."""
        surge = 1 if self.active is None else 0
        memory = (self.runs.workers + surge) * app.process_bytes + state.occupied * app.request_bytes
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        if self.machine.memory_limit is None or memory <= self.machine.memory_limit:
            return 0.0
        killed = math.ceil(seconds / (self.machine.boot_seconds + 1))
        self._counts.oom_exits += killed
        return killed * state.occupied / self.runs.workers

    def snapshot(self) -> Snapshot:
        """Scrape the server; `Snapshot.from_samples` of `samples` is the same, and slow."""
        counts = self._counts
        template_of = (self.runs, counts.active, counts.desired, counts.rejected, counts.generation)
        if self._template is None or template_of != self._template_of:
            self._template = Snapshot.from_samples(self.samples(), self.now)
            self._template_of = template_of
            return self._template
        gauges = self._gauges()
        workers = {}
        for index, each in self._counters.items():
            lives = index < self.runs.workers
            workers[index] = WorkerReading(
                requests=each.requests,
                errors=each.errors + each.lost,
                busy_seconds=each.busy,
                cpu_seconds=each.cpu,
                run_delay_seconds=each.run_delay,
                slots=gauges.slots if lives else 0.0,
                busy_slots=gauges.busy_slots if lives else 0.0,
                connections=gauges.connections if lives else 0.0,
                lag_seconds=gauges.lag_seconds if lives else 0.0,
                memory_bytes=(gauges.memory_bytes or None) if lives else None,
            )
        return dataclasses.replace(
            self._template,
            at=self.now,
            workers=workers,
            duration_buckets=tuple(counts.durations.cumulative()),
            queue_seconds=counts.queue_seconds,
            backlog=self._backlog(),
            oom_exits=float(counts.oom_exits),
            throttled_seconds=counts.throttled_seconds,
        )

    def samples(self) -> Iterator[Sample]:
        """Yield the exposition of this moment, sample by sample."""
        workers = self.runs.workers
        living = dict.fromkeys(range(workers), self._gauges())
        return samples(self._counts, self.machine, self._counters, living, ready=workers, backlog=self._backlog())

    def _gauges(self) -> WorkerGauges:
        state, workers = self._state, self.runs.workers
        process, request = self._app_bytes
        accepted = min(self._outside(), self._room_inside())
        return WorkerGauges(
            slots=self.runs.slots_per_worker,
            busy_slots=state.inside / workers,
            connections=(state.occupied + accepted) / workers,
            lag_seconds=state.lag,
            memory_bytes=process + request * state.occupied / workers,
        )

    def _outside(self) -> float:
        """Return how many requests have no slot."""
        return max(0.0, self._state.inside + self._state.queued - self._state.occupied)

    def _room_inside(self) -> float:
        if self.runs.worker_class is not WorkerClass.GTHREAD:
            return 0.0
        return self.runs.workers * max(0.0, self.runs.worker_connections - self.runs.threads)

    def _backlog(self) -> float:
        return max(0.0, self._outside() - self._room_inside())


class FluidCluster:
    """Pods under load; the face of `cluster.Cluster`, with clients and requests spread at random over the pods.

    Args:
        app: what a request does.
        settings: what every server starts with.
        pods: how many.
        clients: requests that are always in flight, each client sending the next when the last is answered.
        rate: requests per second at random moments; only without clients.
        machine: what each pod may use.
        backend_connections: how many requests of all pods can wait for the backend at once.
        load_noise: relative standard deviation of the load from scrape to scrape.
        seed: of everything random.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        *,
        pods: int = 1,
        clients: int = 0,
        rate: float = 0.0,
        machine: Machine | None = None,
        backend_connections: float = math.inf,
        load_noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.app = app
        self.now = 0.0
        self.servers = [FluidServer(settings, machine or Machine()) for _ in range(pods)]
        self._clients = clients
        self._rate = rate
        self._connections = backend_connections / pods
        self._load_noise = load_noise
        self._chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
        self._solved: dict[object, Steady] = {}
        self._held: dict[object, list[float]] = {}
        for server in self.servers:
            server.serve(app, Steady(), 0.0, 1.0)

    def set_clients(self, clients: int) -> None:
        """Change the number of clients."""
        self._clients = clients

    def set_rate(self, rate: float) -> None:
        """Change the number of requests per second."""
        self._rate = rate

    def set_app(self, app: App) -> None:
        """Change what requests do from now on."""
        self.app = app
        self._solved.clear()
        self._held.clear()

    def run_until(self, moment: float) -> None:
        """Advance the simulation to the moment, in seconds since the start."""
        while self.now < moment:
            at = min(moment, *(server.switched_at for server in self.servers))
            if at > self.now:
                self._flow(at)
                self.now = at
            for server in self.servers:
                if server.switched_at <= self.now:
                    server.switch()

    def _flow(self, until: float) -> None:
        load = 1.0
        if self._load_noise:
            load = max(0.05, round(self._chance.gauss(1.0, self._load_noise) * _STEPS) / _STEPS)
        seconds = until - self.now
        for server, state in zip(self.servers, self._states(load, seconds), strict=True):
            count = state.throughput * seconds
            factor = 1.0
            if count > 0:
                factor = max(0.0, self._chance.gauss(1.0, _NOISE_SHARE / math.sqrt(count)))
            server.serve(self.app, state, until, factor)

    def _states(self, load: float, seconds: float) -> list[Steady]:
        if self._rate:
            return [self._opened(server, load, seconds) for server in self.servers]
        clients = self._clients * load
        if all(server.runs == self.servers[0].runs for server in self.servers):
            return [self._closed(server.runs, clients / len(self.servers)) for server in self.servers]
        return self._balanced(clients)

    def _opened(self, server: FluidServer, load: float, seconds: float) -> Steady:
        rate = self._rate * load / len(self.servers)
        key = (server.runs, rate, round(server.backlog))
        state = self._solved.get(key)
        if state is None:
            state = self._keep(
                key,
                steady.opened(
                    self.app,
                    server.runs,
                    server.machine,
                    rate,
                    backlog=server.backlog,
                    backend_connections=self._connections,
                ),
            )
        grown = server.backlog + (rate - state.throughput) * seconds
        server.backlog = min(max(0.0, grown), server.machine.listen_backlog)
        return state

    def _closed(self, runs: Settings, clients: float) -> Steady:
        key = (runs, clients)
        state = self._solved.get(key)
        if state is None:
            machine = self.servers[0].machine
            state = self._keep(key, steady.closed(self.app, runs, machine, clients, self._connections))
        return state

    def _keep(self, key: object, state: Steady) -> Steady:
        if len(self._solved) >= _KEPT:
            self._solved.clear()
        self._solved[key] = state
        return state

    def _balanced(self, clients: float) -> list[Steady]:
        """Return the states of pods that differ: each gets as many requests, and so the slowest has most clients."""
        key = (tuple(server.runs for server in self.servers), clients)
        held = self._held.get(key)
        if held is None:
            if len(self._held) >= _KEPT:
                self._held.clear()
            held = self._held[key] = self._spread(clients)
        return [self._closed(server.runs, each) for server, each in zip(self.servers, held, strict=True)]

    def _spread(self, clients: float) -> list[float]:
        lowest, highest = 0.0, min(self._closed(server.runs, clients).throughput for server in self.servers)
        held: list[float] = []
        for _ in range(_BISECTIONS):
            rate = (lowest + highest) / 2
            held = [self._clients_for(server.runs, rate, clients) for server in self.servers]
            if sum(held) < clients:
                lowest = rate
            else:
                highest = rate
        slowest = max(range(len(held)), key=held.__getitem__)
        held[slowest] = max(0.0, clients - sum(held) + held[slowest])
        return held

    def _clients_for(self, runs: Settings, rate: float, most: float) -> float:
        lowest, highest = 0.0, most
        for _ in range(_BISECTIONS):
            middle = (lowest + highest) / 2
            if steady.closed(self.app, runs, self.servers[0].machine, middle, self._connections).throughput < rate:
                lowest = middle
            else:
                highest = middle
        return highest
