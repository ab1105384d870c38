"""The load on a server, as a process: wrk for closed loops, our own generator for open ones."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench import wrk
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner.open_loop import GRACE_SECONDS
from stablehand_bench.tuner.placement import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_bench.tuner.workloads import Load

_TIMEOUT_SECONDS = 60  # a queue of 64 before one worker that computes 50 ms is three seconds long
_END_SECONDS = 30.0 + GRACE_SECONDS


class Seen(NamedTuple):
    """What a generator saw; `core_share` is how much of a core it took itself."""

    requests: int
    seconds: float
    failed: int
    p99_seconds: float
    core_share: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Generator:
    """A load that runs."""

    def __init__(self, process: subprocess.Popen[str], load: Load) -> None:
        self._process = process
        self._load = load
        self._used_before = _children_cpu_seconds()

    def check(self) -> None:
        """Raise BenchError when it has ended by itself and failed."""
        if self._process.poll():
            raise BenchError(f"the load ended with status {self._process.returncode}: {self._said()}")

    def end(self) -> Seen:
        """Stop it, and return what it saw."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self.wait(_END_SECONDS)

    def wait(self, seconds: float) -> Seen:
        """Wait for it to end by itself, and return what it saw.

        Raises:
            BenchError: when it fails, or takes longer.
        """
        try:
            output, errors = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"the load did not end within {seconds:g} s") from error
        if self._process.returncode != 0:
            raise BenchError(f"the load ended with status {self._process.returncode}: {errors or output}")
        used = _children_cpu_seconds() - self._used_before
        if self._load.schedule is None:
            seen = wrk.parse(output)
            return Seen(seen.requests, seen.seconds, seen.failed, seen.p99_seconds, used / seen.seconds)
        told = json.loads(output)
        return Seen(told["requests"], told["seconds"], told["failed"], told["p99_seconds"], used / told["seconds"])

    def _said(self) -> str:
        output, errors = self._process.communicate()
        return errors or output


@contextlib.contextmanager
def running(url: str, load: Load, *, cores: tuple[int, ...], seconds: int) -> Iterator[Generator]:
    """Start a load for so many seconds, and end it for certain with the block."""
    if load.schedule is None:
        command = ["wrk", "--threads", "1", "--connections", str(load.connections), "--duration", f"{seconds}s"]
        command += ["--latency", "--timeout", f"{_TIMEOUT_SECONDS}s", url]
    else:
        command = [sys.executable, "-m", "stablehand_bench.tuner.open_loop", url, str(seconds), load.schedule.to_json()]
    process = subprocess.Popen(pinned(cores, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Generator(process, load)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(url: str, load: Load, *, cores: tuple[int, ...], seconds: int) -> Seen:
    """Load a URL for so many seconds.

    Raises:
        BenchError: when the load fails.
    """
    with running(url, load, cores=cores, seconds=seconds) as generator:
        return generator.wait(seconds + _END_SECONDS)


def _children_cpu_seconds() -> float:
    # Of those that have ended and were waited for: while a load runs, nothing else of ours ends.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
