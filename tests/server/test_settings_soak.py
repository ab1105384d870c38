"""Settings that change all the time: nothing in the server grows with the number of changes."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from stablehand_dev.load import BackgroundLoad, Load

# class, workers, threads, connections
SETTINGS = (
    ("sync", 2, 1, 1000),
    ("gthread", 2, 8, 1000),
    ("gthread", 2, 16, 1000),
    ("gthread", 3, 16, 1000),
    ("gevent", 1, 1, 500),
    ("gevent", 2, 1, 1000),
    ("tornado", 2, 1, 1000),
    ("sync", 4, 1, 1000),
    ("asgi", 1, 8, 1000),
    ("eventlet", 1, 1, 1000),
)
FIELDS = ("workerClass", "workers", "threads", "workerConnections")
MOST_GROWTH = 1.5  # MiB, of the median of the last quarter over that of the first: an arena of the allocator, and some

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("every", "rounds"), [(1, 3), pytest.param(5, 24, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_neither_memory_nor_series_grow_with_changes_of_settings_under_load(launch, until, every, rounds, record_soak):
    """A change every so many seconds, through all settings so many times; the first round loads what each needs."""
    server = launch()
    url = f"http://127.0.0.1:{server.port}/?0.02"
    memory: list[tuple[float, float]] = []
    series: dict[str, set[int]] = {}
    with BackgroundLoad(Load(url, connections=8, duration=3600)) as load:
        for number, settings in enumerate(SETTINGS * rounds):
            done, began = server.switches("done"), len(load.series)
            server.write(json.dumps(dict(zip(FIELDS, settings, strict=True))))
            until(lambda done=done: server.switches("done") > done)
            until(lambda settings=settings: server.settled(settings[1]))
            if number >= len(SETTINGS):
                (exporter,) = server.children() - server.workers()
                memory.append((resident(server.process.pid), resident(exporter)))
                series.setdefault(" ".join(map(str, settings)), set()).add(len(server.scrape()))
            until(lambda began=began: len(load.series) >= began + every)
        result = load.stop()

    quarter = max(1, len(memory) // 4)
    (master, exporter), (master_after, exporter_after) = (
        tuple(statistics.median(each) for each in zip(*part, strict=True))
        for part in (memory[:quarter], memory[-quarter:])
    )
    record_soak(
        changes=len(SETTINGS) * rounds,
        seconds=len(load.series),
        requests=result.requests,
        failed=result.failed,
        master_mebibytes=[round(master, 2), round(master_after, 2)],
        exporter_mebibytes=[round(exporter, 2), round(exporter_after, 2)],
        series={settings: sorted(counts) for settings, counts in series.items()},
    )
    assert not result.failures, result.examples
    assert server.switches("rejected") == server.switches("rolled_back") == 0
    assert all(len(counts) == 1 for counts in series.values()), series
    assert master_after - master <= MOST_GROWTH
    assert exporter_after - exporter <= MOST_GROWTH


def resident(pid):
    """Return the memory of a process in MiB, with what it shares with others."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
