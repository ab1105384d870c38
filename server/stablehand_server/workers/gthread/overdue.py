"""Requests that take longer than --timeout although nothing is sent or received any more.

gunicorn's timeout ends a sync worker whose request takes too long. Of the workers with threads it ends only one whose
main loop stands still, so a stuck request keeps its thread for ever. Here such a request is hung up on first: if its
thread waits for a client that has fallen silent, that frees it. If not, the worker has to go, for a thread cannot be
ended; what else it serves has its chance first.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# struct tcp_info (include/uapi/linux/tcp.h), milliseconds: tcpi_last_data_sent and, two fields on, tcpi_last_data_recv.
_TCP_INFO_BYTES = 104
_LAST_DATA = struct.Struct("=44xI4xI")
_SECONDS_AFTER_HANGING_UP = 1.0  # for a thread that waits for its client to notice that it has gone
_LONGEST_PAUSE_SECONDS = 1.0


class OverdueRequests:
    """Finds them among what is in flight; `timeout` is in seconds, and 0 switches it off."""

    def __init__(self, timeout: float, log: Any) -> None:
        self._timeout = timeout
        self._log = log
        self._next_look = 0.0
        self._hung_up: dict[Any, float] = {}

    def stuck(self, in_flight: Mapping[Any, float], now: float) -> bool:
        """Hang up on connections that are overdue; tell whether one of them is stuck for good.

        `in_flight` says since when each connection (gunicorn's TConn) has been in a thread's hands.
        """
        if not self._timeout or now < self._next_look:
            return False
        self._next_look = now + min(_LONGEST_PAUSE_SECONDS, self._timeout / 4.0)
        self._hung_up = {each: at for each, at in self._hung_up.items() if each in in_flight}
        for connection, since in list(in_flight.items()):
            if connection in self._hung_up or now - since < self._timeout or connection.is_http2:
                continue
            if seconds_of_silence(connection.sock, now - since) >= self._timeout:
                self._hung_up[connection] = now
                self._log.warning("%s has taken %.0f s: its connection is closed", in_words(connection), now - since)
                hang_up(connection.sock)
        return any(now - at >= _SECONDS_AFTER_HANGING_UP for at in self._hung_up.values())

    def only_stuck_are_left(self, in_flight: Mapping[Any, float]) -> bool:
        """Tell whether everything in flight is stuck, and something is."""
        left = list(in_flight)
        now = time.monotonic()
        return bool(left) and all(now - self._hung_up.get(each, now) >= _SECONDS_AFTER_HANGING_UP for each in left)


class TimedSocket(socket.socket):
    """A socket that knows when it was used last, for Unix sockets, of which the kernel does not tell."""

    used_at = 0.0

    def recv(self, *args: Any) -> bytes:
        """Receive, as any socket does."""
        data = super().recv(*args)
        self.used_at = time.monotonic()
        return data

    def sendall(self, *args: Any) -> None:
        """Send, as any socket does."""
        super().sendall(*args)
        self.used_at = time.monotonic()

    def sendfile(self, *args: Any, **kwargs: Any) -> int:
        """Send a file, as any socket does."""
        sent = super().sendfile(*args, **kwargs)
        self.used_at = time.monotonic()
        return sent


def timed(client: socket.socket) -> socket.socket:
    """Return the connection, as a TimedSocket where it needs one; the one given is not to be used any more."""
    if client.family != socket.AF_UNIX:
        return client
    own = TimedSocket(fileno=client.detach())
    own.used_at = time.monotonic()
    return own


def seconds_of_silence(client: socket.socket, otherwise: float) -> float:
    """Return for how long nothing has been sent or received; `otherwise` where nobody tells.

    The kernel tells for TCP, with or without TLS. So a download that goes on, a stream of events, a slow upload are
    never stuck.
    """
    if isinstance(client, TimedSocket):
        return time.monotonic() - client.used_at
    try:
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        sent, received = _LAST_DATA.unpack_from(info)
        return float(min(sent, received)) / 1000.0
    except (OSError, AttributeError, struct.error):
        return otherwise  # TLS over a Unix socket, a client that has gone, or a system without TCP_INFO


def hang_up(client: socket.socket) -> None:
    """Wake whoever reads from the connection or writes to it, with its end."""
    try:
        # Not ssl.SSLSocket's own, which forgets its TLS state under the feet of the thread that uses it.
        socket.socket.shutdown(client, socket.SHUT_RDWR)
    except OSError:
        return  # the client has gone already


def in_words(connection: Any) -> str:
    """Return which request a connection's thread is busy with."""
    request: Any = getattr(connection.parser, "mesg", None)
    return f"Request {request.method} {request.uri}" if getattr(request, "uri", None) else "A request"
