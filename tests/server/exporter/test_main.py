from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from stablehand_server.exporter import main as exporter

pytestmark = pytest.mark.integration

MASTER = """
import os, socket, sys, time
from stablehand_server.exporter import main as exporter
from stablehand_server.shared_memory import Slots

assert "prometheus_client" not in sys.modules
slots = Slots()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
child = os.fork()
if child == 0:
    exporter.run(slots, listener, os.getppid())
    os._exit(0)
print(child, flush=True)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def running():
    """A master whose exporter serves: the process, the exporter's process id, and its port."""
    port = free_port()
    master = subprocess.Popen([sys.executable, "-c", MASTER, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: healthy(port))
        yield master, int(master.stdout.readline()), port
    finally:
        master.kill()
        master.communicate()
        until(lambda: not healthy(port), seconds=5.0)


def test_the_exporter_serves_while_its_master_runs_and_exits_soon_after_it(running):
    master, _, port = running
    assert healthy(port)
    master.kill()
    master.wait()
    until(lambda: not healthy(port), seconds=5.0)


def test_an_exporter_that_is_asked_to_end_first_answers_who_has_connected(running):
    master, pid, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=5) as accepted:
        accepted.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert healthy(port)  # so the connection before it was accepted
        os.kill(pid, exporter.END_SIGNAL)
        accepted.sendall(b"\r\n")
        assert accepted.makefile("rb").read().endswith(b"ok\n")
    assert master.wait(5) == 0


def test_an_exporter_that_is_asked_to_exit_does_not_wait_for_a_silent_client(running):
    master, pid, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        assert healthy(port)
        os.kill(pid, exporter.END_SIGNAL)
        assert master.wait(5) == 0


def test_a_service_managers_signal_to_all_processes_leaves_the_exporter_to_its_master(running):
    master, pid, port = running
    os.kill(pid, signal.SIGTERM)
    assert healthy(port)
    assert master.poll() is None
    master.kill()
    master.wait()
    until(lambda: not healthy(port), seconds=5.0)
