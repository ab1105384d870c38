"""A whole run: the grid, then everyone beside its best, round by round, then what must hold over a longer time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_bench import rounds
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, grid, oracle, workloads
from stablehand_bench.tuner.measure import Place, tuned, until_settled
from stablehand_bench.tuner.results import CONTEST, FLIP, GRID, STEADY, Cell, Key
from stablehand_bench.tuner.schedule import Schedule
from stablehand_bench.tuner.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_bench.tuner.durations import Durations
    from stablehand_bench.tuner.measure import Command, Served
    from stablehand_bench.tuner.plan import Plan
    from stablehand_bench.tuner.results import Results
    from stablehand_bench.tuner.workloads import Load, Workload

FLIP_KINDS = ("wait-100", "compute-10")
STEADY_WORKLOAD = "mixed"
_STEADY_PER_SECOND = 200.0
_NOISE = 0.2
_SAMPLED_SECONDS = 60  # the end of each stretch between two flips, by which it is judged


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run needs; `progress` is told of each cell that is about to be measured, and of each that is done."""

    plan: Plan
    place: Place
    results: Results
    progress: Callable[[Key, bool], None]

    @property
    def cores(self) -> int:
        """How many cores the server has."""
        return len(self.place.placement.server)

    def all(self) -> None:
        """Run all parts of the plan; what the results have already is not measured again."""
        if "contest" in self.plan.parts:
            self._contest()
        if "flip" in self.plan.parts:
            self._flip()
        if "steady" in self.plan.parts:
            load = workloads.at_rate(_STEADY_PER_SECOND)
            self._steady(1, load)
            noisy = Schedule(_STEADY_PER_SECOND, noise=_NOISE)
            self._steady(2, workloads.Load(f"{load.name} ± {_NOISE:.0%}", schedule=noisy))

    def _grid(self, workload: Workload, load: Load) -> list[str]:
        """Try all static settings, and return the names of the best."""
        scores = []
        for settings in grid.settings(self.cores, asgi=workload.asgi, quick=self.plan.quick):
            key = Key(GRID, workload.name, load.name, contestants.static(settings), 1)
            cell = self._cell(key, workload, load, self.plan.grid)
            if cell.is_sound:
                scores.append(oracle.Score(cell.contestant, cell.per_second, cell.p99_seconds))
        return oracle.candidates(scores, self.plan.candidates)

    def _contest(self) -> None:
        """Measure everyone round by round, each over all workloads: a run that ends early has each of them."""
        best: dict[tuple[str, str], list[str]] = {}
        for number in range(self.plan.rounds):
            for workload, load in self.plan.pairs():
                if number == 0:
                    best[workload.name, load.name] = self._grid(workload, load)
                beside = (*best[workload.name, load.name], *self.plan.peers(workload, number))
                for name in rounds.order((contestants.STABLEHAND, *beside), number):
                    key = Key(CONTEST, workload.name, load.name, name, 1 + number)
                    self._cell(key, workload, load, self.plan.contest)

    def _cell(self, key: Key, workload: Workload, load: Load, durations: Durations) -> Cell:
        known = self.results.find(key)
        if known is None:
            self.progress(key, False)
            known = self.place.cell(key, workload, load, self._command(key.contestant, workload), durations)
            self.results.add(known)
        self.progress(key, True)
        return known

    def _command(self, name: str, workload: Workload) -> Command:
        if name.startswith(contestants.STATIC):
            every = grid.settings(self.cores, asgi=workload.asgi, quick=self.plan.quick)
            settings = next(each for each in every if contestants.static(each) == name)
            return lambda port, metrics: contestants.static_command(settings, workload, port, metrics)
        return lambda port, metrics: contestants.command(
            name, workload, cores=self.cores, port=port, metrics_port=metrics
        )

    def _flip(self) -> None:
        """Load one server with one kind, then with the other, and so on."""
        kinds = [FLIP_KINDS[number % 2] for number in range(self.plan.flips)]
        keys = [
            Key(FLIP, kind, workloads.CLOSED_64.name, contestants.STABLEHAND, 1 + n) for n, kind in enumerate(kinds)
        ]
        if all(self.results.find(key) for key in keys):
            return
        first = workloads.BY_NAME[FLIP_KINDS[0]]
        sampled = min(_SAMPLED_SECONDS, self.plan.flip_seconds // 2)
        try:
            with (
                self.place.serving(first, self._command(contestants.STABLEHAND, first)) as served,
                Watch(served.metrics_port) as watch,
            ):
                cells = [self._stretch(key, served, watch, sampled) for key in keys]
        except BenchError as error:
            cells = [Cell(*key, note=str(error)) for key in keys]
        for cell in cells:  # a part of it would say nothing: it is kept as a whole
            self.results.add(cell)

    def _stretch(self, key: Key, served: Served, watch: Watch, sampled: int) -> Cell:
        self.progress(key, False)
        workload = workloads.BY_NAME[key.workload]
        there = dataclasses.replace(served, url=f"http://127.0.0.1:{served.port}{workload.path}")
        load = workloads.CLOSED_64
        before = self.place.load(there, load, self.plan.flip_seconds - sampled)
        seen = self.place.load(there, load, sampled)
        told = tuned(watch, served, before.requests + seen.requests, before.failed + seen.failed)
        self.progress(key, True)
        return Cell.of(key, seen, failed=told.failed, settings=told.last_settings, tuned=told)

    def _steady(self, number: int, load: Load) -> None:
        """Let a server settle, then load it for long without a change of the load."""
        key = Key(STEADY, STEADY_WORKLOAD, load.name, contestants.STABLEHAND, number)
        if self.results.find(key):
            return
        self.progress(key, False)
        workload = workloads.BY_NAME[STEADY_WORKLOAD]
        try:
            with (
                self.place.serving(workload, self._command(contestants.STABLEHAND, workload)) as served,
                Watch(served.metrics_port) as watch,
            ):
                before = until_settled(self.place, served, load, watch, self.plan.steady)
                seen = self.place.load(served, load, self.plan.steady_seconds)
                told = tuned(watch, served, before.requests + seen.requests, before.failed + seen.failed)
        except BenchError as error:
            self.results.add(Cell(*key, note=str(error)))
        else:
            self.results.add(Cell.of(key, seen, failed=told.failed, settings=told.last_settings, tuned=told))
        self.progress(key, True)
