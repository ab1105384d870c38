from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stablehand_dev.load import BackgroundLoad, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

APPS = Path(__file__).parent / "apps"
COUNTER_SUFFIXES = ("_total", "_bucket", "_sum", "_count")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


class RunningServer:
    """A real stablehand-server that serves the app of the tests; `wrapper` is a command that runs its command.

    With `bind_by_file` a configuration file says where to listen, not a flag.
    """

    def __init__(
        self,
        directory: Path,
        *flags: str,
        app: str = "serving:app",
        wrapper: Sequence[str] = (),
        bind_by_file: bool = False,
        **environment: str,
    ) -> None:
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.socket()) for _ in range(2)]
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            self.port, self.metrics_port = (probe.getsockname()[1] for probe in probes)
        self.directory = directory
        self.settings_file = directory / "settings.json"
        self.boot_fault = directory / "boot-fault"
        self.termination_log = directory / "termination-log"
        self._log_file = directory / "log"
        command = [*wrapper, sys.executable, "-m", "stablehand_server.cli", app]
        command += ["--settings-file", str(self.settings_file)]
        command += ["--metrics-bind", f"127.0.0.1:{self.metrics_port}", *flags]
        command += [] if bind_by_file else ["--bind", f"127.0.0.1:{self.port}"]
        variables = {"PYTHONPATH": str(APPS), "STABLEHAND_TERMINATION_LOG": str(self.termination_log), **environment}
        with self._log_file.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=directory, stdout=output, stderr=output, env={**os.environ, **variables}
            )

    # What it is told

    def write(self, content: str | bytes) -> None:
        """Replace the settings file."""
        fresh = self.settings_file.with_suffix(".new")
        fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
        fresh.replace(self.settings_file)

    def configure(self, worker_class: str, workers: int, threads: int = 1) -> None:
        """Write valid settings, and return when the server runs them and nothing else."""
        fields = {"workerClass": worker_class, "workers": workers, "threads": threads, "workerConnections": 1000}
        self.write(json.dumps(fields))
        wait_until(lambda: self.active() == (worker_class, workers, threads) and self.settled(workers))

    def signal(self, number: int) -> None:
        """Send a signal to the master."""
        self.process.send_signal(number)

    def load(self, connections: int = 16, *, keep_alive: bool = True, query: str = "") -> BackgroundLoad:
        """Return a load on the app, not started yet."""
        url = f"http://127.0.0.1:{self.port}/{query}"
        return BackgroundLoad(Load(url, connections=connections, duration=110, keep_alive=keep_alive))

    # What it says

    def log(self) -> str:
        """Return what it has logged."""
        return self._log_file.read_text(errors="replace")

    def get(
        self, path: str = "/", *, port: int | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Return status and body of one request, by default to the app."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def readiness(self) -> int:
        """Return the status of /readyz, 0 while nobody answers."""
        try:
            return self.get("/readyz", port=self.metrics_port)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def scrape(self) -> Samples:
        """Return the metrics' samples by name and labels."""
        status, text = self.get("/metrics", port=self.metrics_port)
        assert status == 200, text
        families = text_string_to_metric_families(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def counters(self) -> Samples:
        """Return the samples that never fall."""
        return {key: value for key, value in self.scrape().items() if key[0].endswith(COUNTER_SUFFIXES)}

    def metric(self, metric: str, /, **labels: str) -> float:
        """Return one sample of a fresh scrape."""
        return self.scrape()[f"stablehand_{metric}", frozenset(labels.items())]

    def total(self, metric: str, /, **labels: str) -> float:
        """Return the sum of all samples of a fresh scrape that have these labels; there is at least one."""
        scraped = self.scrape().items()
        values = [
            value
            for (name, own), value in scraped
            if name == f"stablehand_{metric}" and labels.items() <= dict(own).items()
        ]
        assert values, f"no sample of {metric} has {labels}"
        return sum(values)

    def switches(self, outcome: str) -> float:
        """Return how many changes of settings ended so."""
        return self.metric("generation_switches_total", outcome=outcome)

    def active(self) -> tuple[str, int, int]:
        """Return class, workers and threads that run; no class before the first generation is all there."""
        samples = self.scrape()
        classes = (
            dict(labels)["worker_class"]
            for name, labels in samples
            if name == "stablehand_setting_worker_class_info" and ("kind", "active") in labels
        )
        numbers = (
            samples["stablehand_setting", frozenset({("name", name), ("kind", "active")})]
            for name in ("workers", "threads")
        )
        return (next(classes, ""), *map(int, numbers))

    def settled(self, workers: int) -> bool:
        """Tell whether so many workers are ready, and no other process boots or retires."""
        samples = self.scrape()
        states = [samples["stablehand_workers", frozenset({("state", s)})] for s in ("booting", "ready", "retiring")]
        return states == [0, workers, 0]

    # Its processes

    def children(self) -> set[int]:
        """Return the processes that the master has started and not yet buried."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:  # noqa: PTH123 (no file of ours)
            return {int(pid) for pid in file.read().split()}

    def workers(self) -> set[int]:
        """Return the living worker processes."""
        booted = {int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log())}
        return self.children() & booted

    def open_files(self) -> int:
        """Return how many descriptors the master has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 (no directory of ours)

    def end(self) -> None:
        """End it, and whatever it has started, by force if need be."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            for pid in self.children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            self.process.kill()
            self.process.wait()


class WebSocket:
    """A client's end of a websocket; what it sends is short."""

    def __init__(self, port: int, path: str = "/ws") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in self._stream.readline()
        while self._stream.readline().strip():
            pass

    def send(self, text: bytes, opcode: int = 1) -> None:
        """Send one frame, by default a text."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(text)]) + mask + masked)

    def receive(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and content; 8 and the code in two bytes is a close, 0 a cut connection."""
        head = self._stream.read(2)
        return (head[0] & 0x0F, self._stream.read(head[1])) if head else (0, b"")

    def echo(self, text: bytes) -> bytes:
        """Send a text, and return what comes back."""
        self.send(text)
        return self.receive()[1]

    def close_code(self) -> int:
        """Wait for the server's close frame, answer it, and return its code; 0 where the connection just ends."""
        opcode, content = self.receive()
        if opcode != 8:
            return 0
        self.send(content[:2], opcode)
        return int.from_bytes(content[:2], "big")

    def end(self) -> None:
        """Leave without a word."""
        self._stream.close()
        self._socket.close()


@pytest.fixture
def websocket() -> Iterator[Callable[..., WebSocket]]:
    """Open websockets to a port; they end with the test."""
    with contextlib.ExitStack() as stack:

        def connect(port: int, path: str = "/ws") -> WebSocket:
            client = WebSocket(port, path)
            stack.callback(client.end)
            return client

        yield connect


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., RunningServer]]:
    """Start a server without awaiting it; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start_server(*flags: str, **options: Any) -> RunningServer:
            server = RunningServer(tmp_path, *flags, **options)
            stack.callback(server.end)
            return server

        yield start_server


@pytest.fixture
def launch(start) -> Callable[..., RunningServer]:
    """Start a server, and return it when it is ready, with all its workers."""

    def launch_server(*flags: str, **options: Any) -> RunningServer:
        return await_all_workers(start(*flags, **options))

    return launch_server


@pytest.fixture(scope="module")
def launch_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Start a server that the tests of a module share, with these settings in its file, and return it when ready."""
    with contextlib.ExitStack() as stack:

        def launch_server(settings: Mapping[str, Any], *flags: str, **options: Any) -> RunningServer:
            directory = tmp_path_factory.mktemp("server")
            (directory / "settings.json").write_text(json.dumps(settings))
            server = RunningServer(directory, *flags, **options)
            stack.callback(server.end)
            return await_all_workers(server)

        yield launch_server


def await_all_workers(server: RunningServer) -> RunningServer:
    """Return the server when it is ready, with all its workers."""
    wait_until(lambda: server.readiness() == 200 or server.process.poll() is not None)
    assert server.process.poll() is None, server.log()
    wait_until(lambda: server.active()[1])  # one worker is enough to be ready; now all are there
    return server
