from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.integration

APP = """
import os, time

def app(environ, start_response):
    began = time.thread_time()
    while time.thread_time() - began < 0.02:
        pass
    start_response("200 OK", [("Content-Length", "0"), ("X-Worker", str(os.getpid()))])
    return [b""]
"""
COUNTERS = ("_total", "_bucket", "_sum", "_count")


class RunningServer:
    """A stablehand-server of two sync workers."""

    def __init__(self, process, port, metrics_port):
        self.process = process
        self.port = port
        self.metrics_port = metrics_port

    def request(self):
        """Ask the app once, and return which process answered."""
        return get(self.port, "/").headers["X-Worker"]

    def scrape(self):
        """Return the metrics' samples by name and labels."""
        text = get(self.metrics_port, "/metrics").body.decode()
        families = text_string_to_metric_families(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def ready(self):
        """Tell whether both workers are ready."""
        try:
            return self.scrape()["stablehand_workers", frozenset({("state", "ready")})] == 2
        except OSError:
            return False

    def exporter(self):
        """Return the exporter's process id: who holds the metrics' socket."""
        (pid,) = [pid for pid in children_of(self.process.pid) if f":{self.metrics_port}" in listening_addresses(pid)]
        return pid


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.body = response.read()
        assert response.status == 200
        return response
    finally:
        connection.close()


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 (not a path of ours)
        return [int(child) for child in file.read().split()]


def listening_addresses(pid):
    """Return ":port" of each socket on which the process listens: none once it has ended."""
    inodes = set()
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))  # noqa: PTH115
        with open(f"/proc/{pid}/net/tcp") as file:  # noqa: PTH123
            rows = [line.split() for line in file.readlines()[1:]]
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {":" + str(int(row[1].split(":")[1], 16)) for row in rows if f"socket:[{row[9]}]" in inodes}


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def running(tmp_path):
    (tmp_path / "burning.py").write_text(APP)
    port, metrics_port = free_ports(2)
    command = [sys.executable, "-m", "stablehand_server.cli", "burning:app", "--workers", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--metrics-bind", f"127.0.0.1:{metrics_port}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    try:
        server = RunningServer(process, port, metrics_port)
        until(server.ready)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        finally:
            process.kill()
            process.wait()


def value(samples, name, **labels):
    return samples[name, frozenset(labels.items())]


def test_each_worker_of_a_real_server_reports_its_cpu_seconds_and_memory(running):
    until(lambda: all(cpu_seconds(running.scrape(), worker) > 0 for worker in "01" if running.request()))
    samples = running.scrape()

    for worker in "01":
        assert value(samples, "stablehand_worker_resident_memory_bytes", worker=worker) > 1_000_000
        assert value(samples, "stablehand_worker_proportional_memory_bytes", worker=worker) > 1_000_000
        assert value(samples, "stablehand_worker_info", worker=worker, worker_class="sync") == 1


def test_no_counter_falls_when_a_worker_is_killed(running):
    for _ in range(10):
        victim = int(running.request())
    until(lambda: value(running.scrape(), "stablehand_request_duration_seconds_count") == 10)
    before = running.scrape()
    os.kill(victim, signal.SIGKILL)
    exits = 0
    while not (exits and running.ready()):
        after = running.scrape()
        exits = value(after, "stablehand_worker_exits_total", reason="signal")
        for key in before:
            if key[0].endswith(COUNTERS):
                assert after[key] >= before[key], key
        before = after

    assert value(running.scrape(), "stablehand_request_duration_seconds_count") == 10


def test_a_killed_exporter_comes_back_with_the_same_counters(running):
    for _ in range(10):
        running.request()
    until(lambda: any(name == "stablehand_available_worker_class_info" for name, _ in running.scrape()))
    before = running.scrape()
    first = running.exporter()
    os.kill(first, signal.SIGKILL)
    until(running.ready)
    after = running.scrape()

    assert running.exporter() != first
    assert after.keys() == before.keys()
    assert all(after[key] >= before[key] for key in before if key[0].endswith(COUNTERS))


def cpu_seconds(samples, worker):
    return value(samples, "stablehand_worker_cpu_seconds_total", worker=worker, mode="user")
