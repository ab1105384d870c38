"""Runs the scripts: static settings in a short form of each, then the best of them and the tuner in the whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from stablehand_bench.apps.hazards.page import READY
from stablehand_bench.changing import scripts
from stablehand_bench.errors import BenchError
from stablehand_bench.hazards import services
from stablehand_bench.hazards.catalogue import Hazard, Touch
from stablehand_bench.tuner import contestants, measure
from stablehand_bench.tuner.generators import Seen
from stablehand_bench.tuner.placement import pinned
from stablehand_bench.tuner.results import CONTEST, GRID, Cell, Key
from stablehand_bench.tuner.watch import Watch
from stablehand_bench.tuner.workloads import Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stablehand_bench.changing.scripts import Script
    from stablehand_bench.tuner.measure import Command, Place, Served
    from stablehand_bench.tuner.results import Results

LOAD = "a script"
_END_SECONDS = 60.0
_BETWEEN_SECONDS = 12.0  # to start a server, to await the last answers, to end a server that has a queue
_SYNC, _GTHREAD, _GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
STATIC = (
    *(Settings(_SYNC, workers) for workers in (1, 2, 8)),
    *(Settings(_GTHREAD, 1, threads=threads) for threads in (8, 32, 64)),
    *(Settings(_GTHREAD, 2, threads=threads) for threads in (4, 16, 32, 64)),
    Settings(_GTHREAD, 4, threads=16),
    *(Settings(_GEVENT, workers) for workers in (1, 2)),
)
_WORKLOAD = Workload("changing", "a load that changes", "", app="stablehand_bench.apps.changing:app", readiness=READY)
_APP = Hazard(_WORKLOAD, Touch.NOTHING, STATIC[0], upstream=True)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run: static settings are tried in a script that is `shorter` times as fast, the best few in the whole one.

    With `faster` everything is that many times as fast: for a look at whether it runs.
    """

    names: tuple[str, ...]
    shorter: float = 10.0
    candidates: int = 2
    faster: float = 1.0

    def to_mapping(self) -> dict[str, object]:
        """Return what makes two runs' cells comparable, as JSON."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "names"}

    def seconds(self) -> float:
        """Estimate how long it takes."""
        whole = sum(scripts.BY_NAME[name].seconds for name in self.names) / self.faster
        cells = len(self.names) * (1 + self.candidates + len(STATIC))
        return whole * (1 + self.candidates + len(STATIC) / self.shorter) + cells * _BETWEEN_SECONDS


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run needs; `progress` is told of each cell that is about to be measured."""

    plan: Plan
    place: Place
    results: Results
    progress: Callable[[Key], None]

    def all(self) -> None:
        """Run all scripts of the plan; what the results have already is not measured again."""
        with services.running(_APP, self.place.placement.load) as variables:
            for name in self.plan.names:
                self._script(scripts.BY_NAME[name], variables)

    def _script(self, script: Script, variables: Mapping[str, str]) -> None:
        short = [self._static(GRID, script, each, variables, self.plan.shorter) for each in STATIC]
        names = best(short, self.plan.candidates)
        for settings in STATIC:
            if contestants.static(settings) in names:
                self._static(CONTEST, script, settings, variables, 1.0)
        key = Key(CONTEST, script.name, LOAD, contestants.STABLEHAND, 1)
        if self.results.find(key) is None:
            self._measure(key, script, self._tuners, variables, 1.0)

    def _static(
        self, phase: str, script: Script, settings: Settings, variables: Mapping[str, str], times: float
    ) -> Cell:
        key = Key(phase, script.name, LOAD, contestants.static(settings), 1)

        def command(port: int, metrics_port: int) -> list[str]:
            return contestants.static_command(settings, _WORKLOAD, port, metrics_port)

        return self.results.find(key) or self._measure(key, script, command, variables, times)

    def _tuners(self, port: int, metrics_port: int) -> list[str]:
        cores = len(self.place.placement.server)
        return contestants.command(contestants.STABLEHAND, _WORKLOAD, cores=cores, port=port, metrics_port=metrics_port)

    def _measure(self, key: Key, script: Script, command: Command, variables: Mapping[str, str], times: float) -> Cell:
        self.progress(key)
        try:
            cell = self._cell(key, script, command, variables, times * self.plan.faster)
        except BenchError as error:
            cell = Cell(*key, note=str(error).strip()[-500:])
        self.results.add(cell)
        return cell

    def _cell(self, key: Key, script: Script, command: Command, variables: Mapping[str, str], times: float) -> Cell:
        with self.place.serving(_WORKLOAD, command, environment=variables) as served, _watching(key, served) as watch:
            client = [sys.executable, "-m", "stablehand_bench.changing.client", served.url, script.name, str(times)]
            seconds = script.seconds / times + _END_SECONDS
            done = subprocess.run(
                pinned(self.place.placement.load, client), capture_output=True, text=True, check=False, timeout=seconds
            )
            if done.returncode:
                raise BenchError(f"the load ended with status {done.returncode}: {done.stderr}")
            told = json.loads(done.stdout)
            answered, within = (sum(each) for each in zip(*told["series"], strict=True))
            failed = sum(told["failures"].values())
            seen = Seen(within, told["seconds"], failed, told["p99_seconds"], told["core_share"])
            if watch is None:
                settings = key.contestant.removeprefix(contestants.STATIC)
                return Cell.of(key, seen, settings=settings, failures=told["failures"], series=told["series"])
            tuned = measure.tuned(watch, served, answered + failed, failed)
            return Cell.of(
                key,
                seen,
                settings=tuned.last_settings,
                tuned=tuned,
                failures=told["failures"],
                series=told["series"],
            )


def best(cells: Sequence[Cell], count: int) -> list[str]:
    """Return the names of those who answered most in time."""
    able = sorted((cell for cell in cells if not cell.note), key=lambda cell: -cell.per_second)
    return [cell.contestant for cell in able[:count]]


@contextlib.contextmanager
def _watching(key: Key, served: Served) -> Iterator[Watch | None]:
    if key.contestant != contestants.STABLEHAND:
        yield None
        return
    with Watch(served.metrics_port) as watch:
        yield watch
