"""Several pods of one app behind a balancer, by formulas instead of single requests.

Between two scrapes requests flow as `steady` computes, with the noise of random counts. It has the interface of
`cluster`, is about a thousand times as fast, and leaves out whatever is shorter than the time between two scrapes.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

from stablehand_simulator import steady
from stablehand_simulator.app import App, Machine
from stablehand_simulator.fluid_server import FluidServer
from stablehand_simulator.steady import Steady

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings

_BISECTIONS = 12
_SAME = 1 + 1e-9
_KEPT = 64  # solutions to cache; one app has few different situations
_NOISE_SHARE = 0.7  # of the deviation of a Poisson process: closed loops vary less than open ones
_STEPS = 20.0  # the noise of the load is rounded to steps of 1 ÷ this, so that solutions can be reused


class FluidCluster:
    """Pods under load, with the interface of `cluster.Cluster`; clients and requests are spread at random over them.

    Args:
        app: what a request does.
        settings: what every server starts with.
        pods: how many.
        clients: requests that are always in flight, each client sending the next when the last is answered.
        rate: requests per second at random moments; only without clients.
        machine: what each pod may use.
        backend_connections: how many requests of all pods can wait for the backend at once.
        load_noise: relative standard deviation of the load from scrape to scrape.
        seed: the random seed.
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
        """Advance the simulation to a time, in seconds since the start."""
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
            server.serve(self.app, state, until, factor, self._tried(server, load))

    def _tried(self, server: FluidServer, load: float) -> Steady | None:
        """Return what a server would do if all of its workers ran what one of them tries; None if none tries."""
        settings, pods = server.on_trial, len(self.servers)
        if settings is None:
            return None
        # one worker alone does not reach a limit that all of them would exceed together
        app = dataclasses.replace(self.app, pod_connections=math.inf)
        if not self._rate:
            clients = self._clients * load / pods
            return steady.closed(app, settings, server.machine, clients, self._connections)
        rate = self._rate * load / pods
        return steady.opened(app, settings, server.machine, rate, backend_connections=self._connections)

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
        server.was_overloaded = server.backlog >= 1
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
        """Return the states of pods that differ: each gets as many requests, so the slowest has the most clients."""
        key = (tuple(server.runs for server in self.servers), clients)
        held = self._held.get(key)
        if held is None:
            if len(self._held) >= _KEPT:
                self._held.clear()
            held = self._held[key] = self._spread(clients)
        return [self._closed(server.runs, each) for server, each in zip(self.servers, held, strict=True)]

    def _spread(self, clients: float) -> list[float]:
        most = [self._closed(server.runs, clients).throughput for server in self.servers]
        lowest, highest = 0.0, min(most)
        held: list[float] = []
        for _ in range(_BISECTIONS):
            rate = (lowest + highest) / 2
            held = [self._clients_for(server.runs, rate, clients) for server in self.servers]
            if sum(held) < clients:
                lowest = rate
            else:
                highest = rate
        slowest = [place for place, rate in enumerate(most) if rate <= min(most) * _SAME]
        others = sum(each for place, each in enumerate(held) if place not in slowest)
        for place in slowest:
            held[place] = max(0.0, clients - others) / len(slowest)
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
