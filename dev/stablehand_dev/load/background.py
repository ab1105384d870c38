"""Load from a separate process, which ends with its parent however that ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from stablehand_dev.load.result import LoadResult, Second, summed

if TYPE_CHECKING:
    from types import TracebackType

    from stablehand_dev.load.generator import Load

_END_GRACE = 10.0


class LoadProcessFailed(RuntimeError):  # noqa: N818 (reads as a sentence)
    """The load's process ended without a result; its text carries what the process said last."""


class BackgroundLoad:
    """A load in a child process: started by entering it, stopped by `stop()`, killed when left without that.

    The child reads its standard input and stops when that ends, so it cannot outlive its parent.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._series: list[Second] = []
        self._errors: list[str] = []
        self._results: list[LoadResult] = []

    def start(self) -> BackgroundLoad:
        """Start the child."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stablehand_dev.load", *arguments(self.load), "--stream"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for read in (self._read_output, self._read_errors):
            thread = threading.Thread(target=read, args=(self._process,), daemon=True)
            thread.start()
            self._readers.append(thread)
        return self

    @property
    def series(self) -> list[Second]:
        """The seconds that are over so far."""
        return list(self._series)

    def last(self, seconds: int = 1) -> LoadResult:
        """What finished within the last so many whole seconds: for a live display."""
        return summed(self._series[-seconds:], min(seconds, len(self._series)))

    @property
    def running(self) -> bool:
        """Whether the child still sends requests or awaits answers."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> LoadResult:
        """Send nothing more, await what is under way, and return the result.

        Raises:
            LoadProcessFailed: when the child ended without a result.
        """
        return self._finish(at_once=True)

    def wait(self) -> LoadResult:
        """Await the load's own end and return the result; raises as `stop` does."""
        return self._finish(at_once=False)

    def __enter__(self) -> BackgroundLoad:  # noqa: PYI034 (typing.Self needs Python 3.11)
        """Start the child."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Leave no process behind."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        self._close(process)

    def _finish(self, *, at_once: bool) -> LoadResult:
        if self._process is None:
            raise LoadProcessFailed("the load was never started")
        if self._results:
            return self._results[0]
        if at_once and self._process.stdin is not None:
            self._process.stdin.close()
        duration = 0.0 if at_once or self.load.duration is None else self.load.duration
        bounded = at_once or self.load.duration is not None
        deadline = time.monotonic() + duration + self.load.timeout + _END_GRACE
        try:
            self._process.wait(timeout=deadline - time.monotonic() if bounded else None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close(self._process)
        if not self._results:
            said = "".join(self._errors[-5:]).strip() or f"exit status {self._process.returncode}"
            raise LoadProcessFailed(f"the load's process ended without a result: {said}")
        return self._results[0]

    def _close(self, process: subprocess.Popen[str]) -> None:
        for thread in self._readers:
            thread.join()
        self._readers.clear()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _read_output(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            message = json.loads(line)
            if "second" in message:
                self._series.append(Second.from_mapping(message["second"]))
            else:
                self._results.append(LoadResult.from_mapping(message["result"]))

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        self._errors.extend(process.stderr or ())


def arguments(load: Load) -> list[str]:
    """Return the load as the command's arguments."""
    options: list[str] = ["-c", str(load.connections), "--timeout", str(load.timeout)]
    if load.duration is not None:
        options += ["-d", str(load.duration)]
    if load.requests is not None:
        options += ["-n", str(load.requests)]
    if not load.keep_alive:
        options.append("--no-keep-alive")
    for name, value in load.headers.items():
        options += ["-H", f"{name}: {value}"]
    return [load.url, *options]
