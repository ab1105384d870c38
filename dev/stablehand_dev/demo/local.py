"""The demonstration without a cluster: the example under `stablehand-server --autotune` on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from stablehand_dev.demo.reading import Decided, Reading, from_snapshots
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import REPOSITORY
from stablehand_tuner.observe.exposition import MalformedExposition
from stablehand_tuner.observe.snapshot import IncompleteSnapshot, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = REPOSITORY / "examples" / "io_bound"
_BOOT_SECONDS = 30.0
_OTHERS = ("STABLEHAND_", "GUNICORN_", "WEB_CONCURRENCY")
# What --autotune logs of a decision: `autotune: apply gthread 2 × 49: a sentence [Backlog]`.
_DECISION = re.compile(r"autotune: (?P<action>\w+)(?: (?P<settings>[^:]+))?: (?P<message>.*) \[(?P<reason>\w+)\]$")


class LocalServer:
    """A running server and what can be learnt of it from outside: its metrics, and its log."""

    def __init__(self, url: str, metrics_url: str, log: Path) -> None:
        self.url = url
        self._metrics_url = metrics_url
        self._log = log
        self._client = httpx.Client(timeout=2)
        self._earlier: Snapshot | None = None

    def read(self) -> Reading:
        """Look at the server once; rates are over the time since the last look."""
        later = self._scrape()
        measured = from_snapshots(self._earlier, later)
        self._earlier = later or self._earlier
        return from_log(self._log.read_text(encoding="utf-8", errors="replace"), measured)

    def ready(self) -> bool:
        """Whether a worker serves."""
        try:
            return self._client.get(f"{self._metrics_url}/readyz").is_success
        except httpx.TransportError:
            return False

    def _scrape(self) -> Snapshot | None:
        try:
            text = self._client.get(f"{self._metrics_url}/metrics").raise_for_status().text
            return Snapshot.from_text(text, time.monotonic())
        except (httpx.HTTPError, MalformedExposition, IncompleteSnapshot):
            return None  # a look that failed shows as unknown


def from_log(log: str, measured: Reading) -> Reading:
    """Return a measured reading with the decisions that the server's log tells, and its present reason."""
    found = [match for line in log.splitlines() if (match := _DECISION.search(line))]
    decided = [match for match in found if match["action"] != "hold"]
    return Reading(
        settings=measured.settings,
        slots=measured.slots,
        busy=measured.busy,
        cpu_share=measured.cpu_share,
        reason=found[-1]["reason"] if found else "",
        message=found[-1]["message"] if found else "",
        decisions=tuple(Decided(match["action"], match["settings"] or "", match["message"]) for match in decided),
    )


@contextlib.contextmanager
def running() -> Iterator[LocalServer]:
    """Run the example, starting with one sync worker, and wait until it serves; it ends with the context.

    Raises:
        DevelopmentError: it did not start; the text has the end of its log.
    """
    app_port, metrics_port = _free_ports(2)
    with tempfile.TemporaryDirectory(prefix="stablehand-local-") as directory:
        log = Path(directory) / "server.log"
        command = [
            str(Path(sys.executable).with_name("stablehand-server")),
            "--chdir", str(EXAMPLE), "app:app",
            "--bind", f"127.0.0.1:{app_port}", "--metrics-bind", f"127.0.0.1:{metrics_port}",
            "--autotune",
        ]  # fmt: skip
        # The user's own policy and settings, which the tuner obeys, have no place in what shows the defaults.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            server = LocalServer(f"http://127.0.0.1:{app_port}/", f"http://127.0.0.1:{metrics_port}", log)
            _wait_until_ready(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)  # gunicorn lets requests finish for 30 s
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: LocalServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while not server.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
            raise DevelopmentError(f"the server did not start:\n{last}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
