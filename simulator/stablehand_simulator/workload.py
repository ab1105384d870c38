"""A workload: an app, its pods, their load, and the policy that they are tuned by."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_simulator.app import App, Machine
from stablehand_simulator.cluster import Balancer, Cluster
from stablehand_simulator.fluid import FluidCluster
from stablehand_tuner.policy import Policy

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings


@dataclasses.dataclass(frozen=True)
class LoadPhase:
    """What changes at a time, seconds after the start; fields that are None stay as they were."""

    at: float
    app: App | None = None
    clients: int | None = None
    rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Workload:
    """Everything that a simulated run depends on.

    `clients` and `rate` are of the whole app: clients that each send the next request when the last is answered, or
    requests per second at random moments. `backend_connections` is what all pods share. `load_noise` is the relative
    standard deviation of the load from scrape to scrape; only the fluid model uses it.
    """

    app: App
    start: Settings
    machine: Machine = dataclasses.field(default_factory=Machine)
    pods: int = 1
    clients: int = 0
    rate: float = 0.0
    backend_connections: float = math.inf
    balancer: Balancer = Balancer.RANDOM
    policy: Policy = dataclasses.field(default_factory=Policy)
    phases: tuple[LoadPhase, ...] = ()
    load_noise: float = 0.0
    seed: int = 0

    def cluster(self) -> Cluster:
        """Return the pods, with every request simulated."""
        return Cluster(
            self.app,
            self.start,
            pods=self.pods,
            clients=self.clients,
            rate=self.rate,
            machine=self.machine,
            backend_connections=self.backend_connections,
            balancer=self.balancer,
            seed=self.seed,
        )

    def fluid(self) -> FluidCluster:
        """Return the pods, computed by formulas."""
        return FluidCluster(
            self.app,
            self.start,
            pods=self.pods,
            clients=self.clients,
            rate=self.rate,
            machine=self.machine,
            backend_connections=self.backend_connections,
            load_noise=self.load_noise,
            seed=self.seed,
        )

    def at(self, moment: float) -> Workload:
        """Return the workload as it is at a time, without later phases."""
        current = self
        for phase in sorted(self.phases, key=lambda each: each.at):
            if phase.at <= moment:
                current = dataclasses.replace(
                    current,
                    app=phase.app or current.app,
                    clients=current.clients if phase.clients is None else phase.clients,
                    rate=current.rate if phase.rate is None else phase.rate,
                )
        return dataclasses.replace(current, phases=())
