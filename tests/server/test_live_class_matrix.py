"""Every ordered pair of worker classes, switched while two kinds of clients ask without a pause."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from stablehand_dev.load import BackgroundLoad, Load
from stablehand_tuner.contracts.settings import WorkerClass

pytestmark = pytest.mark.integration

LONGEST_SECONDS = 1500
THREADED = frozenset({WorkerClass.GTHREAD, WorkerClass.ASGI})


def tour():
    """Return settings whose classes, one after the other and in a circle, are every ordered pair once.

    These are the Lyndon words over the classes of length 1 and 2 in their order: a de Bruijn sequence. A class that
    follows itself gets smaller numbers, which some change in place (a sync worker has none: there it is one more).
    """
    classes = list(WorkerClass)
    sequence = [each for i, first in enumerate(classes) for each in (first, *pairs(first, classes[i + 1 :]))]
    steps = []
    for place, worker_class in enumerate(sequence):
        again = worker_class is sequence[place - 1]
        threads = (4 if again else 6) if worker_class in THREADED else 1
        fields = {"threads": threads, "workerConnections": 800 if again else 1000}
        steps.append({"workerClass": worker_class.value, "workers": 1 + (place % 2), **fields})
    return steps


def pairs(first, others):
    return [each for other in others for each in (first, other)]


def test_the_tour_has_every_ordered_pair_of_classes_once():
    classes = [step["workerClass"] for step in tour()]
    assert len(set(zip(classes, [*classes[1:], classes[0]], strict=True))) == len(classes) == len(WorkerClass) ** 2


def test_no_request_fails_on_the_way_through_every_class(launch, until):
    steps = {step["workerClass"]: step for step in tour()}
    server = launch()
    with BackgroundLoad(Load(f"http://127.0.0.1:{server.port}/?0.002", connections=8, duration=300)) as load:
        until(lambda: load.last().completed)
        for step in steps.values():
            configure(server, until, step)
        result = load.stop()

    assert (result.failures, result.examples) == ({}, [])
    assert server.switches("done") >= len(WorkerClass)


def test_no_request_fails_and_nothing_leaks_through_every_pair_of_classes(launch, until):
    server = launch()
    through_every_pair(server, until, tours=1, requests=0)


@pytest.mark.soak
@pytest.mark.timeout(LONGEST_SECONDS)
def test_no_request_of_a_hundred_thousand_fails_through_every_pair_of_classes(launch, until, record_soak):
    server = launch()
    record_soak(**through_every_pair(server, until, tours=2, requests=100_000))


def through_every_pair(server, until, *, tours, requests):
    """Go through so many tours, and more until so many requests are answered; return what was measured."""
    steps = tour()
    begin(server, until, steps[0])
    before = footprint(server)
    url = f"http://127.0.0.1:{server.port}/?0.002"
    switches = 0
    with (
        BackgroundLoad(Load(url, connections=24, duration=LONGEST_SECONDS)) as kept,
        BackgroundLoad(Load(url, connections=8, duration=LONGEST_SECONDS, keep_alive=False)) as fresh,
    ):
        until(lambda: kept.last().completed and fresh.last().completed)
        while switches < tours * len(steps) or answered(kept) + answered(fresh) < requests:
            switches += 1
            configure(server, until, steps[switches % len(steps)])
        results = kept.stop(), fresh.stop()
    failures = [(result.failures, result.examples) for result in results]
    assert failures == [({}, []), ({}, [])]
    assert server.switches("rolled_back") == server.switches("rejected") == 0

    begin(server, until, steps[0])
    until(lambda: all(now <= then for now, then in zip(footprint(server), before, strict=True)))
    # Two workers, so that both indexes show what all their processes have counted.
    configure(server, until, {**steps[0], "workers": 2})
    counted = {code: server.total("worker_requests_total", code=code) for code in ("2xx", "4xx", "5xx", "error")}
    completed = sum(result.completed for result in results)
    assert counted == {"2xx": completed, "4xx": 0, "5xx": 0, "error": 0}
    return {"switches": switches, "requests": completed, "failed": 0, "connects": sum(r.connects for r in results)}


def configure(server, until, step):
    done = server.switches("done")
    server.write(json.dumps(step))
    # a worker that imports eventlet takes seconds to boot, many on a machine that is busy
    until(lambda: server.switches("done") > done, 90)
    until(lambda: server.settled(step["workers"]), 90)


def begin(server, until, step):
    """Run settings anew, in new processes."""
    configure(server, until, {**step, "workers": 3})
    configure(server, until, step)
    until(lambda: len(server.children()) == step["workers"] + 1)
    until(lambda: server.metric("worker_proportional_memory_bytes", worker="0"))


def footprint(server):
    """Return what must not grow: processes, open files of master and exporter, series.

    The connection of the last scrape may still be open in the exporter.
    """
    (exporter,) = server.children() - server.workers()
    series = len(server.scrape())
    return len(processes_in(server.directory)), server.open_files(), open_files(exporter), series


def processes_in(directory):
    """Return the processes that work in a directory, whoever their parent is by now."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # it has ended
            if each.readlink() == directory:
                found.append(each.parent.name)
    return found


def open_files(pid):
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 (no directory of ours)


def answered(load):
    return sum(second.completed for second in load.series)
