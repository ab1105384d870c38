"""One pod under a load of its own: a cluster of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_simulator.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_simulator.app import App, Machine
    from stablehand_simulator.server import Server
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.exposition import Sample
    from stablehand_tuner.observe.snapshot import Snapshot


class Pod:
    """One simulated pod; `run_until` advances it, `snapshot` scrapes it, `apply` gives it new settings.

    Args:
        app: what a request does.
        settings: what the server starts with.
        clients: requests that are always in flight, each client sending the next when the last is answered.
        rate: further requests per second, at random moments.
        machine: what the pod may use.
        seed: the random seed.
    """

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
        self._cluster = Cluster(app, settings, clients=clients, rate=rate, machine=machine, seed=seed)

    @property
    def _server(self) -> Server:
        return self._cluster.servers[0]

    @property
    def active(self) -> Settings:
        """The settings that the server runs, or during a switch those that it will run."""
        return self._server.counts.active or self._server.counts.desired

    @property
    def desired(self) -> Settings:
        """The settings that the server should run and did not refuse."""
        return self._server.counts.desired

    @property
    def rejected(self) -> int:
        """How many settings the server refused."""
        return self._server.counts.rejected

    @property
    def finished(self) -> int:
        """Requests that were answered, successfully or not."""
        return self._cluster.finished

    def set_clients(self, clients: int) -> None:
        """Change the number of clients: new ones begin at once, surplus ones stop after their request."""
        self._cluster.set_clients(clients)

    def set_app(self, app: App) -> None:
        """Change what requests do from now on."""
        self._cluster.set_app(app)

    def apply(self, settings: Settings) -> None:
        """Write the settings that the server should run; they become active after the boot time."""
        self._server.apply(settings)

    def run_until(self, moment: float) -> None:
        """Advance the simulation to a time, in seconds since the start."""
        self._cluster.run_until(moment)

    def snapshot(self) -> Snapshot:
        """Scrape the pod."""
        return self._server.snapshot()

    def samples(self) -> Iterator[Sample]:
        """Yield the exposition of this moment, sample by sample."""
        return self._server.samples()
