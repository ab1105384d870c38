"""Either server, the same way: gunicorn as it is, and ours, which must not have its defects.

A test that asks for `serve` runs on both. On plain gunicorn it is expected to fail by an assertion, strictly: one that
passes there proves nothing, and is no test of a defect.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.load import BackgroundLoad, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = Path(__file__).parents[1] / "apps"
STOCK, OURS = "gunicorn", "stablehand"


class Server:
    """A running server of either kind, with its working directory and its log."""

    def __init__(self, kind: str, directory: Path, app: str, *flags: str, **environment: str) -> None:
        with socket.socket() as probe, socket.socket() as other:
            for each in (probe, other):
                each.bind(("127.0.0.1", 0))
            self.port, metrics_port = (each.getsockname()[1] for each in (probe, other))
        ours = ["stablehand_server.cli", "--metrics-bind", f"127.0.0.1:{metrics_port}"]
        module = ["gunicorn"] if kind == STOCK else ours
        self.log_file = directory / "log"
        self.directory = directory
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, app, "--bind", f"127.0.0.1:{self.port}", *flags],
                cwd=directory,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(APPS), **environment},
                start_new_session=True,
            )

    def log(self) -> str:
        """What it has logged."""
        return self.log_file.read_text(errors="replace")

    def get(self, path: str = "/", timeout: float = 10) -> int:
        """Return the status of one request.

        Raises:
            OSError, http.client.HTTPException: when there is no answer.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status

    def answers(self) -> bool:
        """Whether it serves now."""
        try:
            return self.get(timeout=2) == 200
        except (OSError, http.client.HTTPException):
            return False

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def load(self, connections: int, query: str = "") -> BackgroundLoad:
        """Return a load over kept connections, not started yet."""
        return BackgroundLoad(Load(f"http://127.0.0.1:{self.port}/{query}", connections=connections, duration=60))

    def descendants(self) -> int:
        """How many processes there are beside the master."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return len(children.read_text().split())

    def end(self) -> None:
        """End it with all its processes: they are a session of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> bool:
    """Return whether the condition came to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def prepare(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Return once the condition holds; where it does not, that is an error on either server, and no defect.

    Raises:
        RuntimeError: which no expected failure hides.
    """
    if not wait_for(condition, seconds):
        raise RuntimeError(f"what the test needs did not come to pass within {seconds:.0f} s")


@pytest.fixture
def until() -> Callable[..., None]:
    """`prepare`, for tests."""
    return prepare


@pytest.fixture
def comes() -> Callable[..., bool]:
    """`wait_for`, for tests."""
    return wait_for


@pytest.fixture(
    params=[
        pytest.param(
            STOCK, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason="a defect of plain gunicorn")
        ),
        OURS,
    ]
)
def serve(request, tmp_path) -> Iterator[Callable[..., Server]]:
    """Start a server of either kind, and return it once it answers; it ends with the test.

    `ours` are flags that plain gunicorn has not.
    """
    with contextlib.ExitStack() as stack:

        def start(
            app: str = "serving:app", *flags: str, ours: tuple[str, ...] = (), ready: bool = True, **environment: str
        ) -> Server:
            flags += ours if request.param == OURS else ()
            server = Server(request.param, tmp_path, app, *flags, **environment)
            stack.callback(server.end)
            if ready:
                prepare(server.answers)
            return server

        yield start
