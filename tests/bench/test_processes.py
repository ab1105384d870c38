from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from stablehand_bench import processes
from stablehand_bench.errors import BenchError

SERVER = """
import http.server, os, sys
if os.fork() == 0:
    while True:
        __import__("time").sleep(60)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def alive(pid):
    """Tell whether a process runs: one that has ended, but was not waited for, does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (no file of ours)
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.integration
def test_a_server_is_pinned_awaited_and_ended_with_its_children():
    (port,) = processes.free_ports(1)
    core = min(os.sched_getaffinity(0))
    with processes.serving([sys.executable, "-c", SERVER, str(port)], environment={}, core=core, port=port) as server:
        (child,) = server.children()
        assert os.sched_getaffinity(server.process.pid) == os.sched_getaffinity(child) == {core}
        assert processes.listens(server.process.pid, port)
        assert server.proportional_bytes()[server.process.pid] > 1_000_000
        assert server.process.pid in server.cpu_seconds()
        assert alive(child)

    assert not alive(server.process.pid)
    deadline = time.monotonic() + 10
    while alive(child):  # it has been killed, which the kernel does in its own time
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.integration
def test_a_server_that_exits_at_once_is_an_error_with_its_output():
    command = [sys.executable, "-c", "raise SystemExit('no such app')"]
    with (
        pytest.raises(BenchError, match="no such app"),
        processes.serving(command, environment={}, core=None, port=processes.free_ports(1)[0]),
    ):
        raise AssertionError("it does not run")


@pytest.mark.integration
def test_a_disconnected_client_counts_as_a_connection_until_the_server_has_closed_it():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert processes.connections(port) == 0
        client = socket.create_connection(("127.0.0.1", port))
        assert processes.connections(port) == 1, "nobody has accepted it yet"
        client.close()
        accepted, _ = listener.accept()
        assert processes.connections(port) == 1
        accepted.close()
        assert processes.connections(port) == 0


@pytest.mark.integration
def test_connections_that_are_never_closed_are_an_error_that_counts_them():
    (port,) = processes.free_ports(1)
    with (
        processes.serving([sys.executable, "-c", SERVER, str(port)], environment={}, core=None, port=port) as server,
        socket.create_connection(("127.0.0.1", port)),
        pytest.raises(BenchError, match=f"1 connections to port {port} are still open"),
    ):
        server.await_no_connections(port, 0.2)


def test_the_seconds_of_a_process_that_has_come_or_gone_meanwhile_are_no_requests():
    assert processes.spent({1: 5.0, 2: 1.0, 3: 9.0}, {1: 5.5, 2: 1.25, 4: 2.0}) == 0.75
