from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

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


def test_the_exporter_serves_while_its_master_lives_and_ends_soon_after_it():
    port = free_port()
    master = subprocess.Popen([sys.executable, "-c", MASTER, str(port)])
    try:
        until(lambda: healthy(port))
    finally:
        os.kill(master.pid, signal.SIGKILL)
        master.wait()
    until(lambda: not healthy(port), seconds=5.0)


def test_a_service_managers_signal_to_all_processes_leaves_the_exporter_to_its_master():
    port = free_port()
    master = subprocess.Popen([sys.executable, "-c", MASTER, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: healthy(port))
        os.kill(int(master.stdout.readline()), signal.SIGTERM)
        assert healthy(port)
        assert master.poll() is None
    finally:
        os.kill(master.pid, signal.SIGKILL)
        master.communicate()
    until(lambda: not healthy(port), seconds=5.0)
