"""One cell: a server is started, loaded and measured, and gone afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench import processes, request
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, decisions, generators, memory_limit, timeline
from stablehand_bench.tuner.placement import pinned
from stablehand_bench.tuner.results import Cell, Key, Tuned
from stablehand_bench.tuner.watch import Watch
from stablehand_server.linux import procfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stablehand_bench.tuner.durations import Durations
    from stablehand_bench.tuner.generators import Seen
    from stablehand_bench.tuner.placement import Placement
    from stablehand_bench.tuner.workloads import Load, Workload

_REPOSITORY = Path(__file__).parents[3]
PYTHONPATH = ":".join(str(_REPOSITORY / part) for part in ("bench", "server", "tuner"))
_LONGEST_SECONDS = 3600
_IDLE_SECONDS = 30.0
_BOOT_SECONDS = 60.0


class Place:
    """Where and how all cells of a run are measured."""

    def __init__(self, placement: Placement, turns: int) -> None:
        self.placement = placement
        self._turns = turns

    def cell(self, key: Key, workload: Workload, load: Load, command: Command, durations: Durations) -> Cell:
        """Measure one cell; what cannot run here has a note that says why."""
        try:
            with self.serving(workload, command) as served:
                if key.contestant == contestants.STABLEHAND:
                    return _tuned(self, served, key, load, durations)
                warm_up = durations.warm_up
                if key.contestant in contestants.ADAPTIVE:
                    warm_up = durations.adapting
                self.load(served, load, warm_up)
                return _measured(self, served, key, load, durations.measured)
        except (contestants.NotApplicable, memory_limit.NoCgroup) as reason:
            return Cell(*key, note=str(reason))
        except BenchError as error:
            return Cell(*key, note=str(error).strip()[-500:])

    def load(self, served: Served, load: Load, seconds: int) -> Seen:
        """Load a server for so many seconds.

        A generator that ends leaves its last requests in the server's queue and in its app. They are served first:
        otherwise a slow server would spend seconds of this load on the one before, and one with as many slots as the
        load has requests would have none for the first of them.
        """
        served.server.await_no_connections(served.port)
        return generators.run(served.url, load, cores=self.placement.load, seconds=seconds)

    @contextlib.contextmanager
    def serving(
        self,
        workload: Workload,
        command: Command,
        *,
        environment: Mapping[str, str] | None = None,
        boot_seconds: float = _BOOT_SECONDS,
    ) -> Iterator[Served]:
        """Start a server for a workload, with all that it needs, and end it with the block.

        Args:
            workload: what it serves.
            command: the server, by its ports.
            environment: further variables for the app.
            boot_seconds: how long it may take until it answers.

        Raises:
            BenchError: when it does not start.
        """
        with contextlib.ExitStack() as stack:
            port, metrics_port, backend_port = processes.free_ports(3)
            arguments = pinned(self.placement.server, command(port, metrics_port))
            limit = None
            if workload.memory_mib is not None:
                limit = stack.enter_context(memory_limit.limited(workload.memory_mib))
                arguments = limit.within(arguments)
            variables = {
                **(environment or {}),
                "PYTHONPATH": PYTHONPATH,
                "STABLEHAND_BENCH_LOOPS": str(self._turns),
                "STABLEHAND_BENCH_CACHE_MIB": str(workload.cache_mib),
                "STABLEHAND_BENCH_BACKEND": str(backend_port),
            }
            if workload.backend:
                backend = [sys.executable, "-m", "stablehand_bench.apps.backend", str(backend_port)]
                placed = pinned(self.placement.load, backend)
                stack.enter_context(processes.serving(placed, environment=variables, core=None, port=backend_port))
            server = stack.enter_context(
                processes.serving(
                    arguments,
                    environment=variables,
                    core=None,
                    port=port,
                    readiness=workload.readiness,
                    boot_seconds=boot_seconds,
                )
            )
            url = f"http://127.0.0.1:{port}{workload.path}"
            yield Served(server, url, port, metrics_port, backend_port if workload.backend else 0, limit)


@dataclasses.dataclass(frozen=True)
class Served:
    """A server that runs, and its addresses; `backend_port` is 0 without a backend, `limit` None without one."""

    server: processes.Server
    url: str
    port: int
    metrics_port: int
    backend_port: int
    limit: memory_limit.Limit | None


if TYPE_CHECKING:
    Command = Callable[[int, int], list[str]]  # from the ports of the app and of the metrics


def until_settled(place: Place, served: Served, load: Load, watch: Watch, durations: Durations) -> Seen:
    """Load a server until its settings have stayed for a while, or its time is over."""
    cores = place.placement.load
    with generators.running(served.url, load, cores=cores, seconds=_LONGEST_SECONDS) as generator:
        while watch.seconds < durations.tuning:
            time.sleep(0.25)
            served.server.check()
            generator.check()
            watch.check()
            if watch.seconds - timeline.settled_at(watch.timeline) > durations.calm:
                break
        return generator.end()


def tuned(watch: Watch, served: Served, requests: int, failed: int) -> Tuned:
    """Return what a tuner did while it was watched, under so many requests.

    Raises:
        BenchError: when its metrics were out of reach at the end.
    """
    watch.check()
    said = decisions.parse(served.server.log())
    return Tuned(
        watched_seconds=round(watch.seconds, 1),
        settled_seconds=timeline.settled_at(watch.timeline),
        timeline=[list(each) for each in timeline.settings_run(watch.timeline)],
        decisions=[list(each) for each in said],
        changes=decisions.changes(said),
        rolled_back=decisions.rolled_back(said),
        requests=requests,
        failed=failed,
        killed_for_memory=max(watch.killed_for_memory, served.limit.kills() if served.limit is not None else 0),
        gevent_seconds=timeline.longest_stretch(watch.timeline, "gevent"),
        most_slots=timeline.most_slots(watch.timeline),
    )


def _tuned(place: Place, served: Served, key: Key, load: Load, durations: Durations) -> Cell:
    with Watch(served.metrics_port) as watch:
        before = until_settled(place, served, load, watch, durations)
        peak = backend_peak(served.backend_port) if served.backend_port else -1
        cell = _measured(place, served, key, load, durations.measured)
    told = tuned(watch, served, before.requests + cell.requests, before.failed + cell.failed)
    return dataclasses.replace(cell, settings=told.last_settings, backend_peak=max(peak, cell.backend_peak), tuned=told)


def _measured(place: Place, served: Served, key: Key, load: Load, seconds: int) -> Cell:
    if served.backend_port:
        _await_idle_backend(served.backend_port)
    seen = place.load(served, load, load.whole(seconds))
    served.server.check()
    peak = backend_peak(served.backend_port) if served.backend_port else -1
    pids = [served.server.process.pid, *served.server.children()]
    static = key.contestant.startswith(contestants.STATIC)
    return Cell.of(
        key,
        seen,
        memory_bytes=sum(map(_memory, pids)),
        processes=len(pids),
        settings=key.contestant.removeprefix(contestants.STATIC) if static else "",
        backend_peak=peak,
    )


def _await_idle_backend(port: int) -> None:
    """Wait until what the load before has left there is done: it would count as this one's."""
    deadline = time.monotonic() + _IDLE_SECONDS
    while backend_peak(port):
        if time.monotonic() > deadline:
            raise BenchError(f"the backend was not idle within {_IDLE_SECONDS:g} s")
        time.sleep(0.1)


def backend_peak(port: int) -> int:
    """Return how many requests were at the slow backend at once since this was asked last."""
    return int(request.get(port, "/peak"))


def _memory(pid: int) -> int:
    return procfs.proportional_bytes(pid) or 0  # it has just ended
