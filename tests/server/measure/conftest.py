from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    """A server's socket on which a request has just arrived, and been read."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as made,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        made.recv(100)
        yield made
