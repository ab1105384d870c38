"""Close connections without a reset and without blocking on their clients.

See `closing_limits`. gunicorn blocks for up to two seconds on each client that keeps its socket open; here the worker's
own selector does it concurrently.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from socket import SHUT_WR

from stablehand_server.workers.common import arrived
from stablehand_server.workers.common.closing_limits import LONGEST_BYTES, LONGEST_SECONDS, READ_BYTES

_SILENCE_SECONDS = 2.0  # as long as gunicorn: such a connection counts against worker_connections


class _Lingering:
    __slots__ = ("deadline", "drained", "ends")

    def __init__(self) -> None:
        now = time.monotonic()
        self.deadline = now + _SILENCE_SECONDS
        self.ends = now + LONGEST_SECONDS
        self.drained = 0


class LingeringCloses:
    """The connections whose write side is closed, on a selector that the worker runs.

    The selector's keys carry a callback that takes the file object, as in gunicorn's gthread. Several threads may use
    this at once: the one that removes a connection from the dictionary closes it.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._lingering: dict[socket.socket, _Lingering] = {}  # in the order of their deadlines

    def __len__(self) -> int:
        """Return how many connections linger."""
        return len(self._lingering)

    def add(self, client: socket.socket) -> None:
        """Close the connection's write side now, and the socket when the client is done.

        The socket passed is detached: code of the app's that holds it, as a websocket's thread over TLS does, must not
        close a descriptor that the selector knows, since a new connection may get the same number.
        """
        try:
            client.setblocking(False)
            client.shutdown(SHUT_WR)  # before it is detached: over TLS this also parts it from OpenSSL's own descriptor
            client = socket.socket(fileno=client.detach())
        except (OSError, ValueError):  # the client has already disconnected, or the app has closed the socket
            client.close()
            return
        self._lingering[client] = _Lingering()
        try:
            self._selector.register(client, selectors.EVENT_READ, self._drain)
        except (OSError, ValueError):
            self._close(client)

    def expire(self) -> None:
        """Close those whose client took too long."""
        now = time.monotonic()
        for client, lingering in list(self._lingering.items()):
            if lingering.deadline > now:
                return
            if arrived.bytes_waiting(client.fileno()):
                self._wait_on(client, lingering)  # no thread has had time to read it
            else:
                self._close(client)

    def _drain(self, client: socket.socket) -> None:
        lingering = self._lingering.get(client)
        if lingering is None:
            # Another thread has just closed it, or was ended by an exception while it had it in hand.
            with contextlib.suppress(OSError, KeyError, ValueError):
                self._selector.unregister(client)
            return
        try:
            received = len(client.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        lingering.drained += received
        if received == 0 or lingering.drained > LONGEST_BYTES or time.monotonic() > lingering.ends:
            self._close(client)
        else:
            self._wait_on(client, lingering)

    def _wait_on(self, client: socket.socket, lingering: _Lingering) -> None:
        if self._lingering.pop(client, None) is None:
            return  # another thread has just closed it
        lingering.deadline = time.monotonic() + _SILENCE_SECONDS
        self._lingering[client] = lingering  # now the last one

    def _close(self, client: socket.socket) -> None:
        if self._lingering.pop(client, None) is None:
            return
        with contextlib.suppress(OSError, KeyError, ValueError):  # it was never registered
            self._selector.unregister(client)
        client.close()
