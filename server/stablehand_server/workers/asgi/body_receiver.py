"""Gives an ASGI app its request's body, and notifies it when the client has disconnected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stablehand_server.gunicorn_internals.asgi import BodyReceiver as GunicornBodyReceiver

if TYPE_CHECKING:
    from stablehand_server.workers.asgi.protocol import Connection


_WAITER = "_waiter"  # gunicorn's slot, which has no type there, and cannot get one beside slots


class BodyReceiver(GunicornBodyReceiver):
    """gunicorn's receiver of a body, except that a caller may stop waiting for the client to disconnect.

    Starlette's `Request.is_disconnected()` does so each time that it is called. gunicorn takes a cancelled wait for a
    disconnection, so that an event stream whose loop asks that ends at the second turn, and of several callers that
    wait it wakes only the last one.
    """

    __slots__ = ()  # so that a receiver that gunicorn has made can become one of these

    protocol: Connection  # gunicorn's own attribute, which has no type there

    async def _wait_for_disconnect(self) -> None:
        if self.protocol._closed:  # noqa: SLF001 (by gunicorn's name)
            self.signal_disconnect()
        while not self._disconnected:
            waits: asyncio.Future[None] | None = getattr(self, _WAITER)
            if waits is None or waits.done():
                waits = asyncio.get_running_loop().create_future()
                setattr(self, _WAITER, waits)
            await asyncio.shield(waits)
