"""Runs the apps one after the other: the grid of static settings, then the best of it and the tuner."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from stablehand_bench.hazards import measure, search, services
from stablehand_bench.hazards.search import Tried
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.durations import Durations
from stablehand_bench.tuner.results import CONTEST, GRID, Key
from stablehand_bench.tuner.workloads import CLOSED_64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from stablehand_bench.hazards.catalogue import Hazard
    from stablehand_bench.hazards.plan import Plan
    from stablehand_bench.tuner.measure import Place
    from stablehand_bench.tuner.results import Cell, Results
    from stablehand_tuner.contracts.settings import Settings


class Measuring(Protocol):
    """What measures: servers under load, and for tests a table."""

    def services(self, hazard: Hazard) -> AbstractContextManager[Mapping[str, str]]:
        """Start what an app needs, for the block; yield the variables by which it finds that."""

    def static(
        self, hazard: Hazard, key: Key, settings: Settings, variables: Mapping[str, str], durations: Durations
    ) -> Cell:
        """Measure static settings."""

    def tuned(self, hazard: Hazard, key: Key, variables: Mapping[str, str], tuning: int, seconds: int) -> Cell:
        """Measure the tuner."""


@dataclasses.dataclass(frozen=True)
class Servers:
    """Measures servers on this machine."""

    place: Place

    def services(self, hazard: Hazard) -> AbstractContextManager[Mapping[str, str]]:
        """Start what an app needs, for the block; yield the variables by which it finds that."""
        return services.running(hazard, self.place.placement.load)

    def static(
        self, hazard: Hazard, key: Key, settings: Settings, variables: Mapping[str, str], durations: Durations
    ) -> Cell:
        """Measure static settings."""

        def command(port: int, metrics_port: int) -> list[str]:
            return contestants.static_command(settings, hazard.workload, port, metrics_port)

        return measure.static(self.place, hazard, key, command, variables, durations=durations)

    def tuned(self, hazard: Hazard, key: Key, variables: Mapping[str, str], tuning: int, seconds: int) -> Cell:
        """Measure the tuner."""
        cores = len(self.place.placement.server)

        def command(port: int, metrics_port: int) -> list[str]:
            return contestants.command(
                contestants.STABLEHAND, hazard.workload, cores=cores, port=port, metrics_port=metrics_port
            )

        return measure.tuned(self.place, hazard, key, command, variables, tuning=tuning, seconds=seconds)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run needs; `progress` is told of each cell that is about to be measured."""

    plan: Plan
    measuring: Measuring
    results: Results
    progress: Callable[[Key], None]

    def all(self) -> None:
        """Measure all apps of the plan; what the results have already is not measured again."""
        for hazard in self.plan.hazards:
            with self.measuring.services(hazard) as variables:
                self._app(hazard, variables)

    def _app(self, hazard: Hazard, variables: Mapping[str, str]) -> None:
        tried = self._grid(hazard, variables)
        warm_up = max(self.plan.candidate_warm_up, hazard.warm_up)
        longer = Durations(warm_up=warm_up, measured=self.plan.candidate_measured)
        sound = 0
        for settings in search.candidates(tried, self.plan.most_candidates):
            sound += self._static(CONTEST, hazard, settings, variables, longer).is_sound
            if sound == self.plan.candidates:
                break
        key = Key(CONTEST, hazard.name, CLOSED_64.name, contestants.STABLEHAND, 1)
        if self.results.find(key) is None:
            self.progress(key)
            self.results.add(self.measuring.tuned(hazard, key, variables, self.plan.tuning, self.plan.measured))

    def _grid(self, hazard: Hazard, variables: Mapping[str, str]) -> list[Tried]:
        """Search for the best static settings, and return all that were tried."""
        short = Durations(warm_up=hazard.warm_up, measured=hazard.measured)
        tried: list[Tried] = []
        wanted: Sequence[Settings] = search.coarse(hazard.breaks)
        for stage in (*search.stages(), None):
            for settings in wanted:
                if settings != hazard.breaks and not search.is_worth(settings, tried):
                    continue
                cell = self._static(GRID, hazard, settings, variables, short)
                tried.append(Tried(settings, cell.per_second, cell.p99_seconds, cell.is_sound))
            wanted = [] if stage is None else search.further(tried, stage)
        return tried

    def _static(
        self, phase: str, hazard: Hazard, settings: Settings, variables: Mapping[str, str], durations: Durations
    ) -> Cell:
        key = Key(phase, hazard.name, CLOSED_64.name, contestants.static(settings), 1)
        known = self.results.find(key)
        if known is None:
            self.progress(key)
            known = self.measuring.static(hazard, key, settings, variables, durations)
            self.results.add(known)
        return known
