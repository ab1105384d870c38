"""Server processes of a benchmark: pinned to a core, awaited until they answer, measured, and always ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench import request
from stablehand_bench.errors import BenchError
from stablehand_server.linux import procfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_BOOT_SECONDS = 60.0
_DRAIN_SECONDS = 60.0
END_SECONDS = 10.0  # then it is killed
_OPEN_STATES = frozenset({"01", "08"})  # include/net/tcp_states.h: established; closed by the client only


def free_ports(count: int) -> list[int]:
    """Return free ports on loopback."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def end_at_sigterm() -> None:
    """Let SIGTERM end this process as an exception does, so that it ends the servers that it has started."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


class Server:
    """A server that runs; `process` is its master."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def check(self) -> None:
        """Raise BenchError, with the end of its log, when it has ended."""
        if self.process.poll() is not None:
            said = self._log.read_text(errors="replace")[-2000:]
            raise BenchError(f"the server ended with status {self.process.returncode}:\n{said}")

    def await_answer(self, port: int, path: str, seconds: float = _BOOT_SECONDS) -> None:
        """Return once a request is answered with 200; raise BenchError when it ends, or that takes too long."""
        self._await(
            lambda: answers(port, path),
            seconds,
            lambda: f"no answer from port {port} within {seconds:g} s:\n{self.log()[-2000:]}",
        )

    def await_no_connections(self, port: int, seconds: float = _DRAIN_SECONDS) -> None:
        """Return once no connection to a port is open; raise BenchError when it ends, or that takes too long."""
        self._await(
            lambda: not connections(port),
            seconds,
            lambda: f"{connections(port)} connections to port {port} are still open after {seconds:g} s",
        )

    def await_children(self, count: int, seconds: float = _BOOT_SECONDS) -> None:
        """Return once the master has so many children; raise BenchError when it ends, or that takes too long."""
        self._await(
            lambda: len(self.children()) == count,
            seconds,
            lambda: f"there are {len(self.children())} processes beside the master, not {count}, after {seconds:g} s",
        )

    def _await(self, reached: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(complaint())
            time.sleep(0.05)

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Return the process ids of the master's children."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def proportional_bytes(self) -> dict[int, int]:
        """Return the memory (PSS) of the master and its children by process id."""
        told = {pid: procfs.proportional_bytes(pid) for pid in (self.process.pid, *self.children())}
        return {pid: memory for pid, memory in told.items() if memory is not None}  # a child of a moment has ended

    def cpu_seconds(self) -> dict[int, float]:
        """Return the CPU seconds of the master and of each running child, user and system."""
        return {pid: _cpu_seconds(pid) for pid in (self.process.pid, *self.children())}


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the CPU seconds between two looks, of the processes that were there at both.

    What a server starts and ends once, while it boots, is no part of what a request costs.
    """
    return sum(seconds - before[pid] for pid, seconds in after.items() if pid in before)


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    core: int | None,
    port: int,
    readiness: str = "/",
    boot_seconds: float = _BOOT_SECONDS,
) -> Iterator[Server]:
    """Start a server pinned to a core (None: to none), yield it once it answers, and end it with all its children.

    Args:
        command: the program and its arguments.
        environment: variables on top of this process's own.
        core: the core that it may use.
        port: where it is asked for `readiness`, until it answers with 200.
        readiness: the path to ask for.
        boot_seconds: how long that may take.

    Raises:
        BenchError: when it ends, or does not answer in time; the text has the end of its log.
    """
    pinned = ["taskset", "--cpu-list", str(core), *command] if core is not None else list(command)
    with tempfile.TemporaryDirectory(prefix="stablehand-bench-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                pinned,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        try:
            server = Server(process, log)
            server.await_answer(port, readiness, boot_seconds)
            yield server
        finally:
            _end(process)


def answers(port: int, path: str) -> bool:
    """Return whether a server answers a request with 200."""
    try:
        request.get(port, path, patience=60)
    except (OSError, http.client.HTTPException):
        return False
    return True


def connections(port: int) -> int:
    """Return how many connections to a port of IPv4 are open on the server's side, accepted or not."""
    return sum(row[3] in _OPEN_STATES for row in _sockets(port, "self"))


def listens(pid: int, port: int) -> bool:
    """Return whether a process has a socket that listens on a port."""
    descriptors = Path(f"/proc/{pid}/fd")
    held = set()
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    return any(f"socket:[{row[9]}]" in held for row in _sockets(port, pid))


def _sockets(port: int, pid: int | str) -> list[list[str]]:
    """Return the rows of /proc/net/tcp with a local port, as a process's network has them."""
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return [row for row in rows if int(row[1].split(":")[1], 16) == port]


def _end(process: subprocess.Popen[bytes]) -> None:
    # Its own session, so the group is its own too: workers go with a master that does not end in time.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _cpu_seconds(pid: int) -> float:
    times = procfs.parse_stat(Path(f"/proc/{pid}/stat").read_bytes())
    return times.user_seconds + times.system_seconds
