from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
REQUEST = b"GET /?0.001 HTTP/1.1\r\nHost: x\r\n\r\n"


def answered(client):
    """Read up to the end of the stream, which the server closes first."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def connections(server):
    return server.metric("worker_connections", worker="0")


def sockets(server):
    """Return how many sockets the only worker has open."""
    (worker,) = server.workers()
    count = 0
    for each in Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += "socket:" in str(each.readlink())
    return count


def test_clients_that_keep_their_side_open_hold_nobody_up_and_are_closed_in_the_end(launch, until):
    server = launch("--workers", "1", "--worker-class", "sync")
    before = sockets(server)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(20)]
        started = time.monotonic()
        for client in clients:
            client.sendall(REQUEST)
            assert answered(client).startswith(b"HTTP/1.1 200")
        # gunicorn waits two seconds for each of them to close
        assert time.monotonic() - started < 10.0
        assert connections(server) > 0
        until(lambda: connections(server) == 0)
        until(lambda: sockets(server) == before)


def test_clients_that_close_at_once_leave_no_connection_behind(launch, until):
    server = launch("--workers", "1", "--worker-class", "sync")
    before = sockets(server)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(REQUEST)
            assert answered(client).startswith(b"HTTP/1.1 200")
    until(lambda: connections(server) == 0)
    until(lambda: sockets(server) == before)


def test_a_client_that_sends_more_than_it_may_gets_its_whole_answer(launch):
    server = launch("--workers", "1", "--worker-class", "sync")
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(REQUEST + b"x" * 10_000)
        assert answered(client).startswith(b"HTTP/1.1 200")
