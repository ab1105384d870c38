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
import os, sys, time
from stablehand_server.exporter import main as exporter
from stablehand_server.shared_memory import Slots

assert "prometheus_client" not in sys.modules
slots = Slots()
child = os.fork()
if child == 0:
    try:
        exporter.run(slots, ("127.0.0.1", int(sys.argv[1])), os.getppid())
    except SystemExit as end:
        os._exit(end.code)
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


def test_an_address_in_use_is_said_in_a_sentence_and_ends_the_exporter():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        master = subprocess.run(
            [sys.executable, "-c", MASTER, str(port)], capture_output=True, text=True, timeout=30, check=False
        )

    assert master.returncode == 1
    assert f"Cannot serve metrics on 127.0.0.1:{port}: Address already in use." in master.stderr
    assert "--metrics-bind" in master.stderr
    assert "Traceback" not in master.stderr
