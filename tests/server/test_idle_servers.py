"""A process that nobody asks anything waits in the kernel. One that looks again and again takes a core from the app."""

from __future__ import annotations

import socket
import time

import pytest

from stablehand_server.linux import procfs

pytestmark = pytest.mark.integration

CLASSES = [("sync", 1), ("gthread", 1, 4), ("gevent", 1), ("eventlet", 1), ("tornado", 1), ("asgi", 1, 4)]
WATCHED_SECONDS = 2.0
MOST_OF_A_CORE = 0.25  # the master, the exporter and the worker each look for something once or twice a second


def cpu_seconds(server):
    """What each of the server's processes has used."""
    times = {pid: procfs.process_times(pid) for pid in (server.process.pid, *server.children())}
    return {pid: each.user_seconds + each.system_seconds for pid, each in times.items() if each is not None}


def test_no_process_is_busy_while_clients_are_connected_and_ask_nothing(launch, until):
    server = launch("--keep-alive", "60")
    for settings in CLASSES:
        server.configure(*settings)
        until(
            lambda: len(server.workers()) == 1 and len(server.children()) == 2
        )  # and what looks at the start has ended
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=5) as client,
            socket.create_connection(("127.0.0.1", server.metrics_port), timeout=5),
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in client.recv(65536)
            before = cpu_seconds(server)
            time.sleep(WATCHED_SECONDS)  # the time that is measured
            after = cpu_seconds(server)
        used = {pid: after[pid] - before[pid] for pid in before.keys() & after.keys()}
        assert len(used) >= 3, settings  # master, exporter, worker
        assert max(used.values()) < MOST_OF_A_CORE * WATCHED_SECONDS, (settings, used)
