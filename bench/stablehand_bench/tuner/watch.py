"""Reads a server's metrics while it is under load, once a second: what it runs, and what the kernel killed."""

from __future__ import annotations

import http.client
import threading
import time
from typing import TYPE_CHECKING

from stablehand_bench import request
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import grid
from stablehand_bench.tuner.timeline import Moment
from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe import exposition

if TYPE_CHECKING:
    from types import TracebackType

_WANTED = frozenset(
    metric.sample_name
    for metric in (
        names.SETTING,
        names.SETTING_WORKER_CLASS_INFO,
        names.WORKER_INFO,
        names.WORKER_SLOTS,
        names.WORKER_EXITS,
    )
)
_PATIENCE_SECONDS = 10.0


class Reading:
    """The few metrics of one scrape that are watched."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for sample in exposition.samples(text) if sample[0] in _WANTED and sample[2]]

    def moment(self, at: float) -> Moment:
        """Return what runs."""
        slots = sum(value for name, _, value in self._samples if name == names.WORKER_SLOTS.name)
        classes = {labels["worker_class"] for name, labels, _ in self._samples if name == names.WORKER_INFO.name}
        return Moment(at, self._settings(), tuple(sorted(classes)), slots)

    def killed_for_memory(self) -> int:
        """Return how many workers the kernel has killed for lack of memory since the server's start."""
        exits = names.WORKER_EXITS.sample_name
        return int(sum(value for name, labels, value in self._samples if name == exits and labels["reason"] == "oom"))

    def _settings(self) -> str:
        active = [sample for sample in self._samples if sample[1].get("kind") == "active"]
        classes = [labels["worker_class"] for name, labels, _ in active if name == names.SETTING_WORKER_CLASS_INFO.name]
        counts = {labels["name"]: int(value) for name, labels, value in active if name == names.SETTING.name}
        if len(classes) != 1 or set(counts) != {"workers", "threads", "worker_connections"}:
            return ""
        return grid.text(
            Settings(WorkerClass(classes[0]), counts["workers"], counts["threads"], counts["worker_connections"])
        )


class Watch:
    """Looks once a second in a thread of its own, from entering to leaving it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._start = time.monotonic()
        self.timeline: list[Moment] = []
        self.killed_for_memory = 0

    def __enter__(self) -> Watch:  # noqa: PYI034 (typing.Self needs Python 3.11)
        """Start reading."""
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """How long it has been looking."""
        return time.monotonic() - self._start

    def check(self) -> None:
        """Raise BenchError when there have been no metrics for ten seconds: a change might go unseen."""
        last = self.timeline[-1].at if self.timeline else 0.0
        if self.seconds - last > _PATIENCE_SECONDS:
            raise BenchError(f"port {self._port} has told no metrics that can be read for {_PATIENCE_SECONDS:g} s")

    def _look_on(self) -> None:
        while not self._ended.wait(1.0):
            try:
                reading = Reading(request.get(self._port, "/metrics", patience=_PATIENCE_SECONDS).decode())
            except (OSError, http.client.HTTPException, exposition.MalformedExposition):
                continue  # `check` says so, if it lasts
            self.timeline.append(reading.moment(round(self.seconds, 1)))
            self.killed_for_memory = reading.killed_for_memory()
