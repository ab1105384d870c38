"""The periodic listing: it finds whatever the watches missed, within one interval at most."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from stablehand_operator.cluster import ClusterError
from stablehand_operator.inventory import CHILD_KINDS, app_key
from stablehand_operator.names import CHILDREN_SELECTOR, KIND
from stablehand_operator.pods import version_of

if TYPE_CHECKING:
    from stablehand_operator.builders import Manifest
    from stablehand_operator.health import Health
    from stablehand_operator.inventory import AppKey, Inventory
    from stablehand_operator.workqueue import WorkQueue

    class ListApi(Protocol):
        """What listing needs of the cluster."""

        async def list_all(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Manifest]:
            """Return all objects of a kind."""


logger = logging.getLogger(__name__)


class Listing:
    """Lists everything at an interval.

    Args:
        cluster: the API server.
        inventory: takes over what is listed.
        queue: each app is reconciled after each listing.
        health: records each listing.
        namespaces: to list; none means all.
        interval: seconds between two listings.
    """

    def __init__(
        self,
        cluster: ListApi,
        inventory: Inventory,
        queue: WorkQueue[AppKey],
        health: Health,
        *,
        namespaces: tuple[str, ...] = (),
        interval: float = 15.0,
    ) -> None:
        self._cluster = cluster
        self._inventory = inventory
        self._queue = queue
        self._health = health
        self._namespaces = namespaces or (None,)
        self._interval = interval

    async def run(self) -> None:
        """List until cancelled."""
        while True:
            try:
                await self.list_once()
            except ClusterError as error:
                logger.warning("%s; listing again in %g s", error, self._interval)
            await asyncio.sleep(self._interval)

    async def list_once(self) -> None:
        """List everything, take it over, and queue every app.

        Raises:
            ClusterError: when the API server refused or did not answer; then nothing was taken over.
        """
        known = set(self._inventory.apps)
        apps = await self._all(KIND)
        children = [each for kind in CHILD_KINDS for each in await self._all(kind, CHILDREN_SELECTOR)]
        pods = await self._all("Pod", CHILDREN_SELECTOR)
        living = [each for each in apps if "deletionTimestamp" not in each["metadata"]]
        for gone in known - {app_key(each) for each in living}:
            self._inventory.drop_app(gone)
            self._queue.forget(gone)
        self._inventory.replace(children, pods)
        for each in living:
            self._queue.add(self._inventory.take_app(each).key)
        self._health.listed({app_key(each): version_of(each) for each in living})

    async def _all(self, kind: str, selector: str = "") -> list[Manifest]:
        found = [await self._cluster.list_all(kind, namespace, selector) for namespace in self._namespaces]
        return [each for objects in found for each in objects]
