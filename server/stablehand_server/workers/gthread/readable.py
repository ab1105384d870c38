"""Whether a connection has a request to read, without reading it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.workers import TConn


def has_data(client: socket.socket) -> bool:
    """Tell whether a socket has something to read, the end of its stream included; under TLS, a record's beginning."""
    try:
        # As a plain socket's, since that of TLS takes no flags.
        socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # whoever reads it finds out
    return True


def has_buffered_request(connection: TConn) -> bool:
    """Tell whether the next request has been read from the socket already, so that no selector would tell."""
    if connection.parser.unreader.buf.getvalue():
        return True
    return isinstance(connection.sock, ssl.SSLSocket) and connection.sock.pending() > 0
