"""Several pods of one app behind a balancer, under one load, as discrete events."""

from __future__ import annotations

import enum
import functools
import math
import random
from typing import TYPE_CHECKING

from stablehand_simulator.agenda import Agenda
from stablehand_simulator.app import App, Machine
from stablehand_simulator.backend import Backend
from stablehand_simulator.interpreter import Request
from stablehand_simulator.responses import Responses
from stablehand_simulator.server import Server

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings

RETRY_SECONDS = 1.0
"""How long a client whose connection was refused waits before it tries again."""


class Balancer(str, enum.Enum):
    """How requests are distributed to pods."""

    RANDOM = "random"  # as kube-proxy distributes connections
    ROUND_ROBIN = "round-robin"
    LEAST_REQUESTS = "least-requests"


class Cluster:
    """Pods under load; `run_until` advances them, and each of `servers` is scraped and given settings.

    Args:
        app: what a request does.
        settings: what every server starts with.
        pods: how many.
        clients: requests that are always in flight, each client sending the next when the last is answered.
        rate: further requests per second, at random moments.
        machine: what each pod may use.
        backend_connections: how many requests of all pods can wait for the backend at once.
        balancer: how requests are distributed to pods.
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
        balancer: Balancer = Balancer.RANDOM,
        seed: int = 0,
    ) -> None:
        self.app = app
        self.refused = 0
        self.failed = 0
        self.responses = Responses()
        self._agenda = Agenda()
        self._chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
        self._balancer = balancer
        self._turn = 0
        backend = Backend(self._agenda, backend_connections)
        self.servers = [
            Server(
                app,
                settings,
                machine or Machine(),
                chance=self._chance,
                agenda=self._agenda,
                backend=backend,
                answered=self._answered,
            )
            for _ in range(pods)
        ]
        self._clients = 0
        self._active_clients = 0
        self._rate = 0.0
        self._arrivals = 0
        self.set_clients(clients)
        self.set_rate(rate)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._agenda.now

    @property
    def finished(self) -> int:
        """Requests that were answered, successfully or not."""
        return int(self.responses.count)

    def set_clients(self, clients: int) -> None:
        """Change the number of clients: new ones begin within a millisecond, surplus ones stop once answered."""
        self._clients = clients
        while self._active_clients < clients:
            self._active_clients += 1
            self._agenda.after(0.001 * self._chance.random(), functools.partial(self._send, from_client=True))

    def set_rate(self, rate: float) -> None:
        """Change the number of requests per second at random moments."""
        self._rate = rate
        self._arrivals += 1
        self._await_arrival(self._arrivals)

    def set_app(self, app: App) -> None:
        """Change what requests do from now on."""
        self.app = app
        for server in self.servers:
            server.app = app

    def run_until(self, moment: float) -> None:
        """Advance the simulation to a time, in seconds since the start."""
        agenda, servers = self._agenda, self.servers
        while True:
            first = min(servers, key=Server.next_at)
            done, upcoming = first.next_at(), agenda.upcoming()
            at = min(done, upcoming, moment)
            for server in servers:
                server.advance(at)
            agenda.now = at
            if done <= at:
                first.complete()
            elif upcoming <= at:
                agenda.pop()()
            if at >= moment:
                return

    def _send(self, *, from_client: bool) -> None:
        compute, unlocked, wait = self.app.draw(self._chance)
        request = Request(self._agenda.now, compute, unlocked, wait, from_client)
        if self._choose().offer(request):
            return
        self.refused += 1
        if from_client:
            self._agenda.after(RETRY_SECONDS, functools.partial(self._send, from_client=True))

    def _choose(self) -> Server:
        if len(self.servers) == 1:
            return self.servers[0]
        if self._balancer is Balancer.ROUND_ROBIN:
            self._turn = (self._turn + 1) % len(self.servers)
            return self.servers[self._turn]
        if self._balancer is Balancer.LEAST_REQUESTS:
            return min(self.servers, key=lambda each: each.in_flight)
        return self._chance.choice(self.servers)

    def _await_arrival(self, chain: int) -> None:
        if self._rate:
            self._agenda.after(self._chance.expovariate(self._rate), lambda: self._arrive(chain))

    def _arrive(self, chain: int) -> None:
        if chain == self._arrivals:
            self._send(from_client=False)
            self._await_arrival(chain)

    def _answered(self, request: Request) -> None:
        self.failed += request.failed
        self.responses.observe(self._agenda.now - request.arrived)
        if not request.from_client:
            return
        if self._active_clients > self._clients:
            self._active_clients -= 1
            return
        # as an event, not at once: the server that answers has not finished its own step yet
        self._agenda.after(0.0, functools.partial(self._send, from_client=True))
