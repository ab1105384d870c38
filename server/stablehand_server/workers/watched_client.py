"""A client's socket as gunicorn's parser reads it, and how long the client may let the worker wait.

gevent bounds a wait by a timer for each wait, which costs several microseconds and, after the hub was blocked, fires
together with a request that is there. Here a connection only notes for whom it waits; the worker's tick looks at all
connections ten times a second, and one that took too long reads the end of its stream.
"""

from __future__ import annotations

import socket as blocking_socket
import ssl
from typing import Any

from stablehand_server.workers.base import HEADER_SECONDS


class WatchedClient:
    """A connection, from the worker's side; `idle` while no byte of its next request has come."""

    __slots__ = ("_deadline", "_receive", "_seconds", "_socket", "gettimeout", "idle", "settimeout")

    def __init__(self, client: Any) -> None:
        self._socket = client
        self._receive = client.recv
        self._seconds: float | None = None  # that the client may take now; None while it is the worker's turn
        self._deadline: float | None = None  # as of the first look since
        self.idle = False
        self.gettimeout = client.gettimeout
        self.settimeout = client.settimeout

    def await_request(self, seconds: float) -> None:
        """Note that the next request should begin within so many seconds."""
        self._seconds = seconds
        self._deadline = None
        self.idle = True

    def recv(self, size: int) -> Any:
        """Receive as the socket does."""
        received = self._receive(size)
        if self.idle:
            self.idle = False
            self._seconds = HEADER_SECONDS
            self._deadline = None
        return received

    def serve(self) -> None:
        """Note that the request has come."""
        self._seconds = None
        self.idle = False

    def look(self, now: float) -> None:
        """Let the stream end if the client took too long; a request that has come meanwhile always counts."""
        if self._seconds is None:
            return
        if self._deadline is None:
            self._deadline = now + self._seconds
        elif now > self._deadline:
            if self.idle and _readable(self._socket):
                self._deadline = None
            else:
                self.end_reading()

    def end_reading(self) -> None:
        """Let whoever reads see the end of the stream; what has come already is still read first."""
        try:
            # Of the plain socket: shutting down TLS would make the next bytes be taken for plain ones.
            self._socket._sock.shutdown(blocking_socket.SHUT_RD)  # noqa: SLF001 (gevent's sockets have no other way)
        except (OSError, AttributeError):
            return  # the client has gone meanwhile, which is as good


def _readable(client: Any) -> bool:
    if isinstance(client, ssl.SSLSocket) and client.pending():
        return True
    try:
        return bool(client._sock.recv(1, blocking_socket.MSG_PEEK | blocking_socket.MSG_DONTWAIT))  # noqa: SLF001
    except (OSError, AttributeError):
        return False
