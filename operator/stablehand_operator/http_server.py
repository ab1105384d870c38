"""The operator's own HTTP server: health for the kubelet, metrics for Prometheus."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stablehand_operator.health import Health
    from stablehand_operator.telemetry import Telemetry

_UNAVAILABLE = 503


@contextlib.asynccontextmanager
async def serve(address: tuple[str, int], health: Health, telemetry: Telemetry) -> AsyncIterator[None]:
    """Serve `/healthz`, `/readyz` and `/metrics` while the context lasts.

    Raises:
        OSError: when the address is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        blindness = health.blindness()
        if blindness is None:
            return web.Response(text="ok\n")
        return web.Response(text=f"blind: {blindness}\n", status=_UNAVAILABLE)

    async def readyz(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="ok\n")
        return web.Response(text="not ready: nothing was listed yet\n", status=_UNAVAILABLE)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
        yield
    finally:
        await runner.cleanup()
