"""Put the operator together and run it: the queue, the listing, the tuning loop, the watches, the HTTP server."""

from __future__ import annotations

import asyncio
import logging
import platform
from typing import TYPE_CHECKING, Any

import kopf

from stablehand_operator import handlers
from stablehand_operator.cluster import Cluster, ClusterError
from stablehand_operator.health import Health
from stablehand_operator.http_server import serve
from stablehand_operator.inventory import AppKey, Inventory
from stablehand_operator.listing import Listing
from stablehand_operator.names import CHILDREN_SELECTOR, GROUP
from stablehand_operator.reconcile import Reconciler
from stablehand_operator.telemetry import Telemetry
from stablehand_operator.tuning import TuningLoop
from stablehand_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from stablehand_operator.configuration import Configuration

logger = logging.getLogger(__name__)

_CRD_POLL_SECONDS = 2.0
_WATCH_SECONDS = 240


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: watches with a time limit, and nothing of kopf's in any object."""
    settings = kopf.OperatorSettings()
    # A watch whose connection was lost without an error ends after this time and is started again.
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.client_timeout = _WATCH_SECONDS + 30
    settings.watching.connect_timeout = 15
    settings.networking.connect_timeout = 15
    settings.networking.request_timeout = 60
    for resource in handlers.CHILD_RESOURCES:
        settings.watching.label_selectors[resource] = CHILDREN_SELECTOR
    # The operator makes its own Events, see `events`; kopf's log messages do not become Events.
    settings.posting.enabled = False
    settings.peering.standalone = True
    # No watch on CustomResourceDefinitions and Namespaces, so no permission for them is needed.
    settings.scanning.disabled = True
    # Handlers of events use none of these; they are set so that kopf's name would not appear if they did.
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.process.ultimate_exiting_timeout = 10
    return settings


async def operate(configuration: Configuration) -> None:
    """Run the operator until it is stopped.

    Raises:
        ClusterError: when no cluster can be found.
        OSError: when the address of the HTTP server is taken.
    """
    cluster = await Cluster.connect()
    try:
        await _operate(configuration, cluster)
    finally:
        await cluster.close()


async def _operate(configuration: Configuration, cluster: Cluster) -> None:
    inventory, telemetry, health = Inventory(), Telemetry(), Health(configuration.blind_after)
    reconciler = Reconciler(cluster, inventory, telemetry)
    queue: WorkQueue[AppKey] = WorkQueue(reconciler.reconcile)
    listing = Listing(
        cluster,
        inventory,
        queue,
        health,
        namespaces=configuration.namespaces,
        interval=configuration.resync_interval,
    )
    tuning = TuningLoop(
        inventory,
        reconciler,
        cluster,
        telemetry,
        interval=configuration.scrape_interval,
        timeout=configuration.scrape_timeout,
        ticked=health.ticked,
    )
    registry = kopf.OperatorRegistry()
    handlers.register(registry, inventory, queue, health)

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_via_client(**arguments)

    async with serve(configuration.address, health, telemetry):
        await _wait_for_the_resource(cluster, health)
        loops = [
            asyncio.create_task(queue.run(), name="reconciliation"),
            asyncio.create_task(listing.run(), name="listing"),
            asyncio.create_task(tuning.run(), name="tuning"),
        ]

        @kopf.on.cleanup(registry=registry)
        async def stop_at_once(**_: Any) -> None:
            # kopf gives its own tasks some seconds to end; meanwhile another operator may be working already.
            for loop in loops:
                loop.cancel()

        watches = asyncio.create_task(_watch(configuration, registry), name="watches")
        logger.info("managing WSGIApps in %s", ", ".join(configuration.namespaces) or "all namespaces")
        await _until_one_ends([watches, *loops])


async def _watch(configuration: Configuration, registry: kopf.OperatorRegistry) -> None:
    """Run kopf, which watches until SIGTERM or SIGINT."""
    await kopf.operator(
        registry=registry,
        settings=kopf_settings(),
        # Otherwise kopf would look up the user's name, and the user in a container has none.
        identity=platform.node(),  # type: ignore[arg-type]  # a str of kopf's own, by a private name
        clusterwide=not configuration.namespaces,
        namespaces=configuration.namespaces,
    )


async def _until_one_ends(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one task ends, cancel the others, and raise what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if not task.cancelled():
            task.result()


async def _wait_for_the_resource(cluster: Cluster, health: Health) -> None:
    """Wait until the API server knows WSGIApps: the definition may be installed later than the operator."""
    last_warning = ""
    while True:
        sentence = "the API server does not know WSGIApp yet: apply what `stablehand crd` prints"
        try:
            if await cluster.knows_the_resource():
                return
            health.waiting()
        except ClusterError as error:
            sentence = str(error)
        if sentence != last_warning:
            logger.warning("%s; waiting", sentence)
            last_warning = sentence
        await asyncio.sleep(_CRD_POLL_SECONDS)
