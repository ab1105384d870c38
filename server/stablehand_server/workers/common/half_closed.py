"""Close connections whose client may still be sending, from a green thread for each: see `closing_limits`."""

from __future__ import annotations

import _socket  # the plain socket: gevent and eventlet replace socket.socket
import contextlib
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.common import arrived
from stablehand_server.workers.common.closing_limits import LONGEST_BYTES, LONGEST_SECONDS, READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1000
_SILENCE_SECONDS = 5.0  # such a connection does not affect others: it counts against a separate limit


class HalfClosed:
    """The connections whose write side is closed.

    `wait_until_readable` takes a descriptor and seconds, lets others run meanwhile, and raises TimeoutError.
    """

    def __init__(self, wait_until_readable: Callable[[int, float], None]) -> None:
        self._wait_until_readable = wait_until_readable
        self._connections: set[_socket.socket] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._connections)

    def is_full(self) -> bool:
        """Return whether there are so many that no more should be taken."""
        return len(self._connections) >= _MOST

    def take(self, client: Any) -> _socket.socket | None:
        """Close the write side of a library's socket now, and take over the connection; None if nothing is left to do.

        Pass what it returns to `close_when_done`.
        """
        try:
            # Before it is detached: over TLS this also parts it from OpenSSL, which the app's code may still hold, and
            # which would write to whatever connection gets this descriptor's number next.
            client.shutdown(_socket.SHUT_WR)
        except OSError:  # the client has disconnected
            client.close()
            return None
        plain = _socket.socket(fileno=client.detach())
        plain.setblocking(False)
        self._connections.add(plain)
        return plain

    def close_when_done(self, plain: _socket.socket) -> None:
        """Discard what arrives; return with the connection closed when the client is done, or takes too long."""
        with contextlib.suppress(OSError):  # it has disconnected, or is silent, which has the same effect
            self._discard_what_comes(plain)
        self._connections.discard(plain)
        plain.close()

    def give_up(self) -> None:
        """Stop waiting for any of them."""
        for plain in self._connections:
            arrived.end_reading(plain.fileno())

    def _discard_what_comes(self, plain: _socket.socket) -> None:
        waited = 0.0
        discarded = 0
        while waited < LONGEST_SECONDS and discarded < LONGEST_BYTES:
            began = time.monotonic()
            try:
                self._wait_until_readable(plain.fileno(), _SILENCE_SECONDS)
            except TimeoutError:
                if not arrived.bytes_waiting(plain.fileno()):  # after a blocked hub both are due at once
                    raise
            waited += min(time.monotonic() - began, _SILENCE_SECONDS)
            received = len(plain.recv(READ_BYTES))
            if not received:
                return
            discarded += received
