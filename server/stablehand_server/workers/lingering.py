"""Close connections politely without waiting for their clients.

A server that closes a socket with unread bytes in it makes the kernel send a reset, which may destroy the end of the
response on its way (RFC 9112, section 9.6). So the write side is closed first, and the socket itself when the client
has closed too, or after a while. gunicorn waits for that in place, up to two seconds for each client that keeps its
socket open; here the worker's own selector does it on the side.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LINGER_SECONDS = 2.0
_LONGEST_DRAIN_BYTES = 64 * 1024


class LingeringCloses:
    """The connections whose write side is closed, on a selector that somebody else runs.

    The selector's keys carry a callback that takes the file object, as gunicorn's gthread has it.
    """

    def __init__(self, selector: selectors.BaseSelector, closed: Callable[[], None]) -> None:
        self._selector = selector
        self._closed = closed
        self._deadlines: dict[socket.socket, float] = {}  # in the order of their deadlines
        self._drained: dict[socket.socket, int] = {}

    def __len__(self) -> int:
        """Return how many connections linger."""
        return len(self._deadlines)

    def add(self, client: socket.socket) -> None:
        """Close the connection's write side now, and the rest when the client is done; `closed` is called then."""
        try:
            client.setblocking(False)
            client.shutdown(socket.SHUT_WR)
            self._selector.register(client, selectors.EVENT_READ, self._drain)
        except (OSError, ValueError):  # the client has gone already
            client.close()
            self._closed()
            return
        self._deadlines[client] = time.monotonic() + _LINGER_SECONDS
        self._drained[client] = 0

    def expire(self) -> None:
        """Close those whose client took too long."""
        now = time.monotonic()
        while self._deadlines:
            client, deadline = next(iter(self._deadlines.items()))
            if deadline > now:
                return
            self._close(client)

    def _drain(self, client: socket.socket) -> None:
        try:
            received = len(client.recv(_LONGEST_DRAIN_BYTES))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        self._drained[client] += received
        if received == 0 or self._drained[client] > _LONGEST_DRAIN_BYTES:
            self._close(client)

    def _close(self, client: socket.socket) -> None:
        del self._deadlines[client]
        del self._drained[client]
        self._selector.unregister(client)
        client.close()
        self._closed()
