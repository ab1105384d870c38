"""What measuring costs in memory: PSS of each worker against plain gunicorn's, and of what runs beside the workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import contestants, processes, request, rounds
from stablehand_bench.contestants import PLAIN, STABLEHAND, Setup
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable

_WORKERS = 4
_REQUESTS = 400
_SCRAPES = 10
_LONGEST_BOOT_SECONDS = 30.0
_QUIET_BYTES = 100_000
_SETUPS = (
    Setup("sync", _WORKERS),
    Setup("gthread", _WORKERS, 4),
    Setup("gevent", _WORKERS),
    Setup("tornado", _WORKERS),
    Setup("asgi", _WORKERS),
)


class Measured(NamedTuple):
    """Bytes of PSS: of a worker on average, of everything else (master, exporter), and of the exporter alone."""

    worker: float
    beside: float
    exporter: float


def measure(name: str, setup: Setup) -> Measured:
    """Start a contestant, let it serve and be scraped a little, and read its processes' memory.

    Raises:
        BenchError: when it does not start, or its processes are not those that are expected.
    """
    with contestants.running(name, setup, core=None) as running:
        exporters = _exporters(running) if name == STABLEHAND else []
        workers = _await_workers(running, setup.workers)
        for _ in range(_REQUESTS):
            request.get(running.port, "/")
        if running.metrics_port:
            for _ in range(_SCRAPES):
                request.get(running.metrics_port, "/metrics")
        of = _await_quiet(running.server)
        in_workers = sum(of[pid] for pid in workers)
        return Measured(
            worker=in_workers / setup.workers,
            beside=sum(of.values()) - in_workers,
            exporter=sum(of[pid] for pid in exporters),
        )


def _exporters(running: contestants.Running) -> list[int]:
    """Return Stablehand's exporter, a child of the master; others expose from a thread of the master."""
    return [pid for pid in running.server.children() if processes.listens(pid, running.metrics_port)]


def _await_workers(running: contestants.Running, count: int) -> list[int]:
    deadline = time.monotonic() + _LONGEST_BOOT_SECONDS
    while time.monotonic() < deadline:
        log = running.server.log()
        found = [pid for pid in running.server.children() if f"Booting worker with pid: {pid}" in log]
        if len(found) == count:
            return found
        time.sleep(0.1)
    raise BenchError(f"not {count} workers within {_LONGEST_BOOT_SECONDS:g} s:\n{running.server.log()}")


def _await_quiet(server: processes.Server) -> dict[int, int]:
    """Return each process's memory once no process loads modules or collects garbage any more."""
    before: dict[int, int] = {}
    deadline = time.monotonic() + _LONGEST_BOOT_SECONDS
    while time.monotonic() < deadline:
        now = server.proportional_bytes()
        if now.keys() == before.keys() and abs(sum(now.values()) - sum(before.values())) < _QUIET_BYTES:
            return now
        before = now
        time.sleep(1.0)
    raise BenchError(f"memory does not become stable within {_LONGEST_BOOT_SECONDS:g} s")


def run(*, count: int, only: str | None, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every contestant in so many interleaved rounds.

    Returns:
        A list of classes, each with its contestants: spreads of MB (10⁶ bytes) a worker, more than plain gunicorn's
        worker in the same round, beside the workers, and of the exporter's process.
    """
    results = []
    for setup in _SETUPS:
        if only is not None and setup.worker_class != only:
            continue
        progress(f"memory, {setup.worker_class}")

        def one(name: str, setup: Setup = setup) -> Measured:
            return measure(name, setup)

        measured = rounds.interleaved(contestants.of(setup.worker_class), count, one)
        told = {
            name: {
                "worker": _megabytes([each.worker for each in runs]),
                "more": _megabytes([e.worker - p.worker for e, p in zip(runs, measured[PLAIN], strict=True)]),
                "beside": _megabytes([each.beside for each in runs]),
                "exporter": _megabytes([each.exporter for each in runs]),
            }
            for name, runs in measured.items()
        }
        results.append({"title": f"{setup.worker_class} × {setup.workers}", "contestants": told})
    return results


def _megabytes(values: list[float]) -> Spread:
    return Spread.of([value / 1e6 for value in values])
