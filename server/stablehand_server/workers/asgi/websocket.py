"""gunicorn's websocket, which the server can also close because it shuts down, not because the app has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.asgi import WebSocketProtocol

if TYPE_CHECKING:
    import asyncio

SERVICE_RESTART = 1012  # https://www.iana.org/assignments/websocket: the client should reconnect


class WebSocket(WebSocketProtocol):
    """One websocket."""

    # gunicorn's own attributes, which have no types there
    accepted: bool
    closed: bool
    _close_sent: bool
    _receive_queue: asyncio.Queue[dict[str, Any]]

    async def take_leave(self) -> None:
        """Notify the client that the server shuts down, and the app that its client has disconnected.

        The app is notified at once: a client that does not answer must not hold it up.
        """
        if self.accepted and not self._close_sent:
            await self._send_close(SERVICE_RESTART, "Service Restart")
            self.closed = True  # nothing may follow a close frame
        self._receive_queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
