"""The same app under gunicorn's command and under ours."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUNICORN = (sys.executable, "-m", "gunicorn")
OURS = (sys.executable, "-m", "stablehand_server.cli", "--metrics-bind", "none")

APP = """
import os

def app(environ, start_response):
    body = f"{environ['wsgi.url_scheme']} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


class Program:
    """A running command in a directory of its own, which is also where its app and its configuration are."""

    def __init__(
        self, command: tuple[str, ...], directory: Path, *flags: str, bind: str | None, **options: object
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.directory = directory
        self._log = directory / "log"
        address = [] if bind == "" else ["--bind", bind or f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *address, *flags], cwd=directory, stdout=log, stderr=log, **options
            )

    def log(self) -> str:
        """Return what it has said."""
        return self._log.read_text(errors="replace")

    def get(self, connection: http.client.HTTPConnection | None = None, *, path: str = "/") -> str:
        """Return what the app answers, empty while nobody does; by default on a connection of its own to the port."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().read().decode()
            except (ConnectionError, FileNotFoundError, TimeoutError, http.client.RemoteDisconnected):
                return ""

    def connect(self) -> socket.socket:
        """Return a connection to its port."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ready(self) -> Program:
        """Return when it answers, and all its workers are there."""
        wait_until(lambda: self.get() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        if "Settings: " in self.log():  # ours; a change before this is part of the start
            wait_until(lambda: self.rolled(0))
        return self

    def rolled(self, times: int) -> bool:
        """Tell whether a reload or other change is complete, the one of this number since the start."""
        return self.log().count("Serving with") == 1 + times

    def end(self) -> None:
        """End it by force, if nothing else has, and all that have its directory for their own."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        self.process.kill()
        self.process.wait()
        for pid in processes_in(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_in(directory: Path) -> list[int]:
    """Return the processes whose working directory is this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or not ours
            if (process / "cwd").resolve() == directory.resolve():
                found.append(int(process.name))
    return found


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def commands() -> dict[str, tuple[str, ...]]:
    """The two commands."""
    return {"gunicorn": GUNICORN, "stablehand-server": OURS}


@pytest.fixture
def run(tmp_path) -> Iterator[Callable[..., Program]]:
    """Run our command, or another one, with flags; `files` are written before. All ends with the test."""
    with contextlib.ExitStack() as stack:

        def run_command(
            *flags: str,
            command: tuple[str, ...] = OURS,
            files: dict[str, str] | None = None,
            bind: str | None = None,
            **options: object,
        ) -> Program:
            directory = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            for name, content in {"hello.py": APP, **(files or {})}.items():
                (directory / name).write_text(content)
            program = Program(command, directory, *flags, "hello:app", bind=bind, **options)
            stack.callback(program.end)
            return program

        yield run_command


@pytest.fixture
def over_unix() -> Callable[[Path], http.client.HTTPConnection]:
    """Make a connection to a Unix socket."""
    return lambda path: UnixConnection(str(path), timeout=10)


@pytest.fixture
def running() -> Callable[[Program], list[int]]:
    """Return the processes of a program: its master, or its daemon, and all that these have started."""
    return lambda program: processes_in(program.directory)
