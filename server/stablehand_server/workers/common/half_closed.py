"""Close connections whose client may still be sending, from a green thread for each.

A server that closes a socket with unread bytes in it, or that gets more of them, makes the kernel send a reset, which
may destroy the end of the response on its way (RFC 9112, section 9.6). So the write side is closed first, and the
socket itself when the client has read its answer and closed too, or after a while.
"""

from __future__ import annotations

import _socket  # the plain socket: gevent and eventlet put their own in the place of the other one
import contextlib
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.common import arrived

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1000
_LONGEST_SILENCE_SECONDS = 5.0
_LONGEST_SECONDS = 30.0  # of waiting for a client that goes on sending
_LONGEST_BYTES = 1 << 30
_READ_BYTES = 64 * 1024


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
        """Tell whether there are so many that no more should be taken."""
        return len(self._connections) >= _MOST

    def take(self, client: Any) -> _socket.socket | None:
        """Close the write side of a library's socket now, and take the connection over; None where that is all.

        What it returns is given to `close_when_done`.
        """
        plain = _socket.socket(fileno=client.detach())
        try:
            plain.setblocking(False)
            plain.shutdown(_socket.SHUT_WR)
        except OSError:
            plain.close()  # the client has gone
            return None
        self._connections.add(plain)
        return plain

    def close_when_done(self, plain: _socket.socket) -> None:
        """Discard what comes, and return with the connection closed when the client is done, or takes too long."""
        with contextlib.suppress(OSError):  # it has gone, or is silent, which is as good
            self._discard_what_comes(plain)
        self._connections.discard(plain)
        plain.close()

    def give_up(self) -> None:
        """Wait for none of them any longer."""
        for plain in self._connections:
            arrived.end_reading(plain.fileno())

    def _discard_what_comes(self, plain: _socket.socket) -> None:
        waited = 0.0
        discarded = 0
        while waited < _LONGEST_SECONDS and discarded < _LONGEST_BYTES:
            began = time.monotonic()
            try:
                self._wait_until_readable(plain.fileno(), _LONGEST_SILENCE_SECONDS)
            except TimeoutError:
                if not arrived.bytes_waiting(plain.fileno()):  # after a blocked hub both are due at once
                    raise
            waited += min(time.monotonic() - began, _LONGEST_SILENCE_SECONDS)
            received = len(plain.recv(_READ_BYTES))
            if not received:
                return
            discarded += received
