from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time

import pytest

from stablehand_dev.load.background import BackgroundLoad
from stablehand_dev.load.generator import Load

pytestmark = pytest.mark.integration

WAITING_APP = """
import time

def app(environ, start_response):
    time.sleep(0.1)
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def ready(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def test_a_waiting_app_under_load_is_tuned_live_without_a_failed_request(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING_APP)
    port, metrics_port = free_ports(2)
    command = [sys.executable, "-m", "stablehand_server.cli", "waiting:app", "--autotune"]
    command += ["--bind", f"127.0.0.1:{port}", "--metrics-bind", f"127.0.0.1:{metrics_port}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    try:
        until(lambda: ready(metrics_port), seconds=20)
        with BackgroundLoad(Load(f"http://127.0.0.1:{port}/", connections=64, duration=60)) as load:
            until(lambda: " keep gthread " in log.read_text(), seconds=55)
            until(lambda: load.last(2).requests_per_second > 100, seconds=10)
            result = load.stop()
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=15)
        finally:
            server.kill()
            server.wait()

    assert result.failed == 0, result
    lines = log.read_text().splitlines()
    assert sum(" apply " in line and "[NextStep]" not in line for line in lines) == 1
