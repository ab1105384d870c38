"""How the tuner does on random workloads: used to test its properties and to find its worst cases."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_simulator import generated, grid, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stablehand_simulator.grid import Performance
    from stablehand_simulator.workload import Workload
    from stablehand_tuner.contracts.settings import Settings

SECONDS = 600.0
"""How long a workload is tuned."""

WORSE = 0.95
"""Share of the successful answers at the start, below which the end is worse."""

SLOWER = 1.5
"""Times the p99 at the start, above which, without more answers, the end is worse."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The result for one workload.

    `begun` is how many changes the tuner began, `settled_at` is when settings were last written, seconds. `broken` are
    settings that the policy forbids but that were written. `requests` are those of the whole run, and `failed` those of
    them that failed.
    """

    seed: int
    start: Performance
    end: Performance
    best: Performance
    begun: int
    settled_at: float
    oom_exits: int
    broken: tuple[Settings, ...]
    in_trial: bool
    requests: float = 0.0
    failed: float = 0.0

    @property
    def of_best(self) -> float:
        """The successful answers per second at the end, as a share of the best's; above 1 if the grid has no better."""
        return _ratio(self.end.goodput, self.best.goodput)

    @property
    def of_start(self) -> float:
        """The successful answers per second at the end, as a share of those at the start."""
        return _ratio(self.end.goodput, self.start.goodput)

    @property
    def p99_of_start(self) -> float:
        """The p99 at the end ÷ the one at the start; 1 if both are infinite."""
        return _ratio(self.end.p99, self.start.p99)

    @property
    def p99_of_best(self) -> float:
        """The p99 at the end ÷ the best's; 1 if both are infinite."""
        return _ratio(self.end.p99, self.best.p99)

    @property
    def is_worse(self) -> bool:
        """Whether the end is worse than the start."""
        return self.of_start < WORSE or (self.p99_of_start > SLOWER and self.of_start < 1 / WORSE)


def measure(seed: int, seconds: float = SECONDS) -> Measured:
    """Tune the random workload of a seed, and compare its end with its start and with the best of the grid."""
    return measure_workload(generated.workload(seed), seconds)


def measure_changing(seed: int) -> Measured:
    """Do the same with the workload of a seed whose app changes while it runs, comparing under the last app."""
    return measure_workload(generated.changing(seed), generated.CHANGING_SECONDS)


def measure_hazardous(seed: int) -> Measured:
    """Do the same with the workload of a seed whose app has hazards, comparing with the best that does no harm."""
    return measure_workload(generated.hazardous(seed), SECONDS, best=grid.best_harmless_at_limits)


def measure_workload(
    workload: Workload, seconds: float, *, best: Callable[[Workload], Performance] = grid.best
) -> Measured:
    """Tune a workload, and compare its end with its start and with the best of a grid."""
    made = run.tune(workload, seconds)
    at_end = workload.at(seconds)
    return Measured(
        seed=workload.seed,
        start=grid.performance(at_end, workload.start),
        end=grid.performance(at_end, made.settings or workload.start),
        best=best(at_end),
        begun=len(made.changes),
        settled_at=made.settled_at,
        oom_exits=made.oom_exits,
        broken=tuple(settings for _, settings in made.changes if not workload.policy.allows(settings)),
        in_trial=not made.state.is_watching,
        requests=sum(each.seen.requests for each in made.rounds if each.seen is not None),
        failed=sum(each.seen.errors for each in made.rounds if each.seen is not None),
    )


def mean_of_best(measured: Sequence[Measured]) -> float:
    """Return the geometric mean of the ends as shares of the best."""
    return math.exp(sum(math.log(max(1e-3, each.of_best)) for each in measured) / len(measured))


def worst(measured: Sequence[Measured], number: int = 10) -> list[Measured]:
    """Return those that end farthest from the best."""
    return sorted(measured, key=lambda each: each.of_best)[:number]


def _ratio(one: float, other: float) -> float:
    if one == other:
        return 1.0  # also where both are infinite or zero
    return one / other if other else math.inf
