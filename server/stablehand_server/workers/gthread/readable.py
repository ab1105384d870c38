"""Whether a connection has a request to read, without reading it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.workers import TConn


def has_data(client: socket.socket) -> bool:
    """Return whether a socket is readable, including the end of its stream; under TLS, the start of a record counts."""
    try:
        # As a plain socket's, since that of TLS takes no flags.
        socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # reading from it will show the error
    return True


def has_buffered_request(connection: TConn) -> bool:
    """Return whether the next request has already been read from the socket, so that no selector would report it."""
    if connection.parser.unreader.buf.getvalue():
        return True
    return isinstance(connection.sock, ssl.SSLSocket) and connection.sock.pending() > 0
