"""What a run measures of the apps with hazards, and how long that takes. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_bench.errors import BenchError
from stablehand_bench.hazards import catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_bench.hazards.catalogue import Hazard

_BOOT_AND_END_SECONDS = 2.0
_USUAL_CELLS = 20


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run: `tuning` is how long the tuner is loaded, `measured` its end by which it is judged.

    The best of the grid are measured again, for `candidate_warm_up` and `candidate_measured` seconds, until
    `candidates` of them have failed nothing in that longer time either, but not more than `most_candidates`.
    """

    names: tuple[str, ...]
    tuning: int = 120
    measured: int = 20
    candidates: int = 2
    most_candidates: int = 6
    candidate_warm_up: int = 2
    candidate_measured: int = 8

    @property
    def hazards(self) -> list[Hazard]:
        """The apps that are measured."""
        return [catalogue.BY_NAME[name] for name in self.names]

    def seconds(self) -> float:
        """Estimate how long it takes."""
        return sum(self._seconds(hazard) for hazard in self.hazards)

    def to_mapping(self) -> dict[str, object]:
        """Return what makes two runs' cells comparable, as JSON."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "names"}

    def _seconds(self, hazard: Hazard) -> float:
        once = _BOOT_AND_END_SECONDS + hazard.warm_up + hazard.measured
        again = _BOOT_AND_END_SECONDS + max(self.candidate_warm_up, hazard.warm_up) + self.candidate_measured
        return _USUAL_CELLS * once + self.candidates * again + _BOOT_AND_END_SECONDS + self.tuning


def make(names: Sequence[str] | None = None, *, tuning: int | None = None) -> Plan:
    """Return the plan of a run over some apps, or over all.

    Raises:
        BenchError: naming an unknown app, or when the tuner would be measured for longer than it is loaded.
    """
    chosen = tuple(names) if names else tuple(catalogue.BY_NAME)
    for name in chosen:
        if name not in catalogue.BY_NAME:
            raise BenchError(f"there is no app {name!r}; known are {', '.join(catalogue.BY_NAME)}")
    plan = Plan(chosen) if tuning is None else Plan(chosen, tuning=tuning)
    if plan.tuning < plan.measured:
        raise BenchError(f"{plan.tuning} s of tuning are fewer than the {plan.measured} s by which it is judged")
    return plan
