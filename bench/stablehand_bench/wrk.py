"""The load: wrk on a core of its own. One of its threads drives several times what one Python process can serve."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import NamedTuple

from stablehand_bench.errors import BenchError

_REQUESTS = re.compile(r"^\s*(\d+) requests in ([\d.]+)(ms|s|m),", re.MULTILINE)
_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_OTHER_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_P99 = re.compile(r"^\s*99%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(NamedTuple):
    """What wrk saw. `failed` counts responses that are neither 2xx nor 3xx, and connections that broke."""

    requests: int
    seconds: float
    failed: int
    p99_seconds: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def require() -> None:
    """Raise BenchError, saying what to do, when wrk is not there."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is missing: install it (on Debian: apt-get install wrk)")


def run(url: str, *, core: int | None, connections: int, seconds: int, keep_alive: bool) -> Load:
    """Load a URL over so many connections, closed loop; from one core, or from any where that is None.

    Raises:
        BenchError: when wrk fails, or says what cannot be understood.
    """
    command = ["taskset", "--cpu-list", str(core)] if core is not None else []
    command += ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--latency"]
    if not keep_alive:
        command += ["--header", "Connection: close"]
    finished = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=seconds + 30)
    if finished.returncode != 0:
        raise BenchError(f"wrk ended with status {finished.returncode}: {finished.stderr or finished.stdout}")
    return parse(finished.stdout)


def parse(text: str) -> Load:
    """Parse wrk's report.

    Raises:
        BenchError: when it is none.
    """
    total, p99 = _REQUESTS.search(text), _P99.search(text)
    if total is None or p99 is None:
        raise BenchError(f"wrk's report cannot be understood:\n{text}")
    errors, status = _ERRORS.search(text), _OTHER_STATUS.search(text)
    failed = sum(map(int, errors.groups())) if errors else 0
    failed += int(status.group(1)) if status else 0
    return Load(
        requests=int(total.group(1)),
        seconds=float(total.group(2)) * _SECONDS[total.group(3)],
        failed=failed,
        p99_seconds=float(p99.group(1)) * _SECONDS[p99.group(2)],
    )
