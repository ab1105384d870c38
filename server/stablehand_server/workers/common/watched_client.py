"""A client's socket as gunicorn's parser reads it, whose stream ends when the client takes too long."""

from __future__ import annotations

import socket as blocking_socket
import ssl
from typing import Any

from stablehand_server.workers.common.patience import Patience


class WatchedClient(Patience):
    """A connection, from the worker's side."""

    __slots__ = ("_receive", "_socket", "gettimeout", "settimeout")

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._socket = client
        self._receive = client.recv
        self.gettimeout = client.gettimeout
        self.settimeout = client.settimeout

    def recv(self, size: int) -> Any:
        """Receive as the socket does."""
        received = self._receive(size)
        if self.idle:
            self.await_headers()
        return received

    def data_waits(self) -> bool:
        """Tell whether something can be read at once."""
        client = self._socket
        if isinstance(client, ssl.SSLSocket) and client.pending():
            return True
        try:
            return bool(client._sock.recv(1, blocking_socket.MSG_PEEK | blocking_socket.MSG_DONTWAIT))  # noqa: SLF001 (gevent's sockets have no other way)
        except (OSError, AttributeError):
            return False

    def give_up(self) -> None:
        """Let whoever reads see the end of the stream; what has come already is still read first."""
        try:
            # Of the plain socket: shutting down TLS would make the next bytes be taken for plain ones.
            self._socket._sock.shutdown(blocking_socket.SHUT_RD)  # noqa: SLF001 (as above)
        except (OSError, AttributeError):
            return  # the client has gone meanwhile, which is as good
