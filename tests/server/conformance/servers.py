"""Run either server, in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.client import PATIENCE_SECONDS, Client, Response
from conformance.columns import GUNICORN, OURS, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.case import Setting

APPS = Path(__file__).parent / "apps"
_COMMANDS = {
    GUNICORN: ("-m", "gunicorn", "--no-control-socket"),
    OURS: ("-m", "stablehand_server.cli", "--metrics-bind=none"),
}


class Server:
    """A running server of either kind. `unix` is the path of its socket, if it listens at one."""

    def __init__(
        self,
        kind: str,
        column: Column,
        directory: Path,
        *flags: str,
        unix: Path | None = None,
        bind: str = "",
        tls: bool = False,
        app: str = "",
        environment: Mapping[str, str] | None = None,
        class_flags: bool = True,
        **options: Any,
    ) -> None:
        self.kind = kind
        self.column = column
        self.directory = directory
        self.unix = unix
        self.tls = tls
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._log = directory / f"log-{len(list(directory.glob('log-*')))}"
        address = bind or (f"unix:{unix}" if unix else f"127.0.0.1:{self.port}")
        command = [sys.executable, *_COMMANDS[kind], app or f"{column.interface}_app:app", f"--bind={address}"]
        command += [*(column.flags(kind) if class_flags else ()), *flags]
        variables = {**os.environ, "PYTHONPATH": f"{APPS}:{directory}", "PYTHONUNBUFFERED": "1", **(environment or {})}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, stdout=log, stderr=log, env=variables, start_new_session=True, **options
            )

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def open(self) -> socket.socket:
        """Return a connection, without TLS in any case."""
        connection = socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET)
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.connect(str(self.unix) if self.unix else ("127.0.0.1", self.port))
        except OSError:
            connection.close()
            raise
        return connection

    def connect(self) -> Client:
        """Return a client; with TLS, the handshake is done."""
        connection = self.open()
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        return Client(connection, self.column.patience(self.kind))

    def get(self, path: str = "/", *lines: str, seconds: float = 0.0) -> Response | None:
        """Return the answer to one request on a connection of its own, None where there is none."""
        try:
            with self.connect() as client:
                return client.send(request(path, *lines, close=True)).final(seconds=seconds)
        except OSError:
            return None

    def answers(self) -> bool:
        """Tell whether it serves now."""
        response = self.get("/")
        return response is not None and response.status == 200

    def ready(self) -> Server:
        """Return once it serves.

        Raises:
            AssertionError: when it ends instead.
        """
        wait_until(lambda: self.process.poll() is not None or self.answers(), 60)
        assert self.process.poll() is None, self.log()
        return self

    def children(self) -> set[int]:
        """Return the processes that the master has started."""
        try:
            return {
                int(pid)
                for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            }
        except FileNotFoundError:
            return set()

    def worker(self) -> str:
        """Return which process answers, empty if none does."""
        response = self.get("/process", seconds=5.0)
        return response.body.decode() if response is not None and response.status == 200 else ""

    def signal(self, number: int) -> None:
        """Send a signal to the master."""
        self.process.send_signal(number)

    def end(self) -> None:
        """End it with all its processes: they are a session of their own."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Starter:
    """Starts servers of one kind and column, which end with the case."""

    def __init__(self, kind: str, column: Column, directory: Path, stack: contextlib.ExitStack) -> None:
        self.kind = kind
        self.column = column
        self.directory = directory
        self._stack = stack

    def __call__(self, *flags: str, ready: bool = True, **options: Any) -> Server:
        """Start a server with flags, and return it once it serves, unless that is not to be awaited."""
        server = Server(self.kind, self.column, self.directory, *flags, **options)
        self._stack.callback(server.end)
        return server.ready() if ready else server


def request(path: str = "/", *lines: str, method: str = "GET", close: bool = False, body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    head = [f"{method} {path} HTTP/1.1", "Host: x", *lines, *(["Connection: close"] if close else [])]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: when it does not within so many seconds.
    """
    assert holds_within(condition, seconds), "what the case waits for did not come"


def holds_within(condition: Callable[[], object], seconds: float) -> bool:
    """Tell whether the condition comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def prepared(kind: str, column: Column, setting: Setting, directory: Path) -> Server:
    """Start a server as a setting has it."""
    for name, content in setting.files:
        (directory / name).write_text(content)
    flags = list(setting.flags)
    if setting.threads and column.has_threads:
        flags.append(f"--threads={setting.threads}")
    if setting.tls:
        flags += certificate(directory)
    workers = dict(setting.workers).get(column.name, 1)
    unix = directory / "socket" if setting.bind == "unix" else None
    return Server(kind, column, directory, f"--workers={workers}", *flags, unix=unix, tls=setting.tls)


def certificate(directory: Path) -> list[str]:
    """Make a certificate, and return the flags that name it."""
    paths = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return [f"--certfile={paths[0]}", f"--keyfile={paths[1]}"]
