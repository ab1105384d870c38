"""What a scrape takes with many workers, and whether that grows with the number of workers that ran before.

Both contestants are real except for the app: Stablehand's mapping, exporter and /metrics; prometheus-client's
multiprocess directory, collector and HTTP server, as its documentation has them. Workers are forks that count one
request each.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import processes, request, rounds
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stablehand_bench.machine import Cores

WORKERS = 64
STABLEHAND = "stablehand-server"
CLIENT = "prometheus-client"
_MASTERS = {STABLEHAND: "stablehand_workers", CLIENT: "prometheus_workers"}
_SCRAPES = 30
_LONGEST_SCRAPING_SECONDS = 10.0  # of one contestant in one round
_PAUSE_SECONDS = 0.05  # scrapers come at intervals, and what an exporter does on the side may do it there
_REPOSITORY = Path(__file__).parents[2]
_MEMORY = Path("/dev/shm")  # noqa: S108 (nothing secret)


def run(cores: Cores, *, gone: Sequence[int], count: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Scrape each contestant, in interleaved rounds, after each number of workers that are gone.

    Returns:
        A list of numbers of workers gone, each with its contestants: spreads over the rounds of the median and of the
        longest scrape in milliseconds, and the bytes of one scrape.
    """
    results = []
    for number in gone:
        progress(f"scrape, {WORKERS} workers, {number:,} gone")

        def one(name: str, number: int = number) -> tuple[list[float], int]:
            with _running(name, number, cores) as port:
                return _scrape(port)

        measured = rounds.interleaved(list(_MASTERS), count, one)
        told = {
            name: {
                "median": Spread.of([Spread.of(seconds).median * 1e3 for seconds, _ in runs]),
                "longest": Spread.of([max(seconds) * 1e3 for seconds, _ in runs]),
                "bytes": runs[0][1],
            }
            for name, runs in measured.items()
        }
        results.append({"title": f"{number:,}", "contestants": told})
    return results


@contextlib.contextmanager
def _running(name: str, gone: int, cores: Cores) -> Iterator[int]:
    (port,) = processes.free_ports(1)
    memory = str(_MEMORY) if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="stablehand-bench-", dir=memory) as files:
        environment = {
            "PYTHONPATH": ":".join(str(_REPOSITORY / part) for part in ("bench", "server", "tuner")),
            "PROMETHEUS_MULTIPROC_DIR": files,
        }
        module = f"stablehand_bench.apps.{_MASTERS[name]}"
        command = [sys.executable, "-m", module, str(port), str(WORKERS), str(gone)]
        with processes.serving(
            command, environment=environment, core=cores.server, port=port, readiness="/metrics", boot_seconds=300
        ):
            yield port


def _scrape(port: int) -> tuple[list[float], int]:
    seconds: list[float] = []
    size = 0
    deadline = time.monotonic() + _LONGEST_SCRAPING_SECONDS
    while len(seconds) < _SCRAPES and (not seconds or time.monotonic() < deadline):
        time.sleep(_PAUSE_SECONDS)
        started = time.perf_counter()
        try:
            size = len(request.get(port, "/metrics", patience=120))
        except http.client.HTTPException as error:
            raise BenchError(f"a scrape failed: {error}") from error
        seconds.append(time.perf_counter() - started)
    return seconds, size
