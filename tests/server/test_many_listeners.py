from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket

import pytest

from stablehand_tuner.contracts.settings import WorkerClass

pytestmark = pytest.mark.integration

REQUESTS = 20


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection):
    """Return the status of a request over a connection of its own."""
    with contextlib.closing(connection):
        connection.request("GET", "/?0.005")
        response = connection.getresponse()
        response.read()
        return response.status


@pytest.fixture
def free_port():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def listening(launch, free_port, tmp_path):
    """Return a function that starts a server on TCP, TCP over IPv6 and a Unix socket, and three ways to ask it."""

    def launch_listening(*flags):
        path = str(tmp_path / "socket")
        server = launch("--bind", f"[::1]:{free_port}", "--bind", f"unix:{path}", *flags)
        ways = [
            lambda: http.client.HTTPConnection("127.0.0.1", server.port, timeout=10),
            lambda: http.client.HTTPConnection("::1", free_port, timeout=10),
            lambda: UnixConnection(path),
        ]
        return server, ways

    return launch_listening


@pytest.mark.parametrize("worker_class", [each.value for each in WorkerClass])
def test_every_class_serves_all_listeners_and_counts_what_comes_through_each(listening, until, worker_class):
    server, ways = listening("--workers", "2", "--worker-class", worker_class)
    until(lambda: server.settled(2))
    for count, way in enumerate(ways, 1):
        assert [ask(way()) for _ in range(REQUESTS)] == [200] * REQUESTS
        until(lambda count=count: server.total("worker_requests_total", code="2xx") == count * REQUESTS)


def test_switches_leave_all_listeners_served(listening):
    server, ways = listening()
    for settings in (("gthread", 2, 4), ("gevent", 1), ("asgi", 1, 2), ("sync", 2)):
        server.configure(*settings)
        assert [ask(way()) for way in ways] == [200] * len(ways)


def test_whoever_waits_at_any_listener_is_in_the_backlog(listening, until):
    server, ways = listening("--workers", "1", "--backlog", "100", "--timeout", "0")
    assert server.metric("listen_backlog_limit") == 300
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            for count, way in enumerate(ways * 2, 1):
                connection = stack.enter_context(contextlib.closing(way()))
                connection.connect()
                until(lambda count=count: server.metric("listen_backlog") == count)
    finally:
        os.kill(worker, signal.SIGCONT)
    until(lambda: server.metric("listen_backlog") == 0)
