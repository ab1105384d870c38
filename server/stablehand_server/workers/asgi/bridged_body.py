"""The body of a WSGI app's request: the loop fills it, the app's thread reads it, through gunicorn's own `Body`."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import NoMoreData

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class FedBody:
    """Takes the place of gunicorn's BodyReceiver in the connection, and of the reader in gunicorn's `Body`.

    `on_taken` is called in the app's thread whenever it has taken something, with the number of bytes that are left.
    """

    def __init__(self, *, chunked: bool, on_taken: Callable[[int], None]) -> None:
        self._chunked = chunked
        self._on_taken = on_taken
        self._arrived = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._discards = False
        self.buffered = 0  # bytes
        # With the names that gunicorn's connection uses.
        self._complete = False
        self._closed = False
        self.expect_continue = False

    # In the loop ------------------------------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> None:
        """Add what has arrived."""
        with self._arrived:
            if chunk and not self._discards:
                self._chunks.append(chunk)
                self.buffered += len(chunk)
                self._arrived.notify()

    def set_complete(self) -> None:
        """Note that the body is complete."""
        with self._arrived:
            self._complete = True
            self._arrived.notify()

    def signal_disconnect(self) -> None:
        """Note that the client has disconnected."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()

    def discard(self) -> None:
        """Discard what the app has not read, and what is yet to arrive."""
        with self._arrived:
            self._discards = True
            self._chunks.clear()
            self.buffered = 0

    # In the app's thread ----------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Return at most so many bytes as soon as there is one, and none at the end.

        Raises:
            NoMoreData: when the client disconnected in the middle of a chunked body, as gunicorn's reader does.
        """
        if size <= 0:
            return b""
        with self._arrived:
            while not (self._chunks or self._complete or self._closed):
                self._arrived.wait()
            if not self._chunks:
                if self._chunked and not self._complete:
                    raise NoMoreData
                return b""
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            self.buffered -= len(chunk)
            left = self.buffered
        self._on_taken(left)
        return chunk


class AwaitedBody:
    """A reader for gunicorn's `Body` that asks an ASGI server's `receive` for each part when it is needed."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> None:
        self._receive = receive
        self._loop = loop
        self._left = b""
        self._more = True

    def read(self, size: int) -> bytes:
        """Return at most so many bytes as soon as there is one, and none at the end."""
        while size > 0 and self._more and not self._left:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            self._left = message.get("body", b"")
            self._more = message.get("more_body", False)
        part, self._left = self._left[: max(0, size)], self._left[max(0, size) :]
        return part

    async def _next(self) -> Any:
        return await self._receive()
