"""Whether a tuner kept its goals on an app with a hazard: throughput, p99, and what it failed to find its way. Pure."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_bench.hazards.catalogue import BY_NAME, Touch
from stablehand_bench.tuner import contestants, oracle
from stablehand_bench.tuner.oracle import Score
from stablehand_bench.tuner.results import CONTEST, GRID
from stablehand_bench.tuner.summary import LATENCY_GOAL, THROUGHPUT_GOAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stablehand_bench.hazards.catalogue import Hazard
    from stablehand_bench.tuner.results import Cell

FAILED_SHARE_AT_A_CEILING = 0.002
FAILED_FOR_A_CLASS = 50
_SLOW_THROUGHPUT = 0.5
_SLOW_LATENCY = 2.0


def allowed(touch: Touch, requests: int) -> int:
    """Return how many of so many requests a tuner may fail in all."""
    if touch is Touch.CEILING:
        return math.floor(FAILED_SHARE_AT_A_CEILING * requests)
    return FAILED_FOR_A_CLASS if touch is Touch.CLASS else 0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One app: the best harmless static settings, the tuner beside them, and what the hazard does to static settings.

    `best` is None when no static settings served without a failure, `tuner` when it was not measured; `breaking` is the
    cell of the settings that are said to show the hazard.
    """

    hazard: Hazard
    best: Cell | None
    tuner: Cell | None
    breaking: Cell | None

    @property
    def ratio(self) -> float | None:
        """The tuner's throughput to the best's; None where there is nothing to compare."""
        if self.best is None or self.tuner is None or self.tuner.note or not self.best.per_second:
            return None
        return self.tuner.per_second / self.best.per_second

    @property
    def latency_ratio(self) -> float | None:
        """The tuner's p99 to the best's; None where there is nothing to compare."""
        if self.best is None or self.tuner is None or self.tuner.note or not self.best.p99_seconds:
            return None
        return self.tuner.p99_seconds / self.best.p99_seconds

    @property
    def is_seen(self) -> bool:
        """Whether the settings that are said to break the app did so beside the best."""
        broken = self.breaking
        if broken is None or self.best is None:
            return False
        if not self.hazard.is_slow:
            return bool(broken.note) or broken.failed > 0
        slow = broken.per_second < _SLOW_THROUGHPUT * self.best.per_second
        return slow or broken.p99_seconds > _SLOW_LATENCY * self.best.p99_seconds

    @property
    def shortfalls(self) -> list[str]:
        """What the goals ask for and the tuner did not keep, as sentences without a subject; empty when it kept all."""
        return list(self._shortfalls())

    def _shortfalls(self) -> Iterator[str]:
        if self.tuner is None or self.tuner.note:
            yield "was not measured" if self.tuner is None else f"was not measured: {_last_line(self.tuner.note)}"
            return
        if self.ratio is None or self.latency_ratio is None:
            yield "has nothing to be compared with: no static settings served without a failure"
        else:
            if self.ratio < THROUGHPUT_GOAL:
                yield f"reached {self.ratio:.2f} of the throughput (goal {THROUGHPUT_GOAL:g})"
            if self.latency_ratio > LATENCY_GOAL:
                yield f"has {self.latency_ratio:.2f} times the p99 (goal {LATENCY_GOAL:g})"
        told = self.tuner.tuned
        if told is not None and told.failed > allowed(self.hazard.touch, told.requests):
            most = allowed(self.hazard.touch, told.requests)
            yield f"failed {told.failed:,} of {told.requests:,} requests (at most {most:,})"


def verdicts(cells: Iterable[Cell]) -> list[Verdict]:
    """Return what was measured app by app, in the order in which that began."""
    by_app: dict[str, list[Cell]] = {}
    for cell in cells:
        by_app.setdefault(cell.workload, []).append(cell)
    return [_verdict(BY_NAME[name], measured) for name, measured in by_app.items()]


def _verdict(hazard: Hazard, cells: Sequence[Cell]) -> Verdict:
    contest = [cell for cell in cells if cell.phase == CONTEST]
    static = [cell for cell in contest if cell.contestant != contestants.STABLEHAND and cell.is_sound]
    scores = [Score(str(number), cell.per_second, cell.p99_seconds) for number, cell in enumerate(static)]
    best = oracle.best(scores)
    breaks = contestants.static(hazard.breaks)
    return Verdict(
        hazard,
        static[int(best.name)] if best is not None else None,
        next((cell for cell in contest if cell.contestant == contestants.STABLEHAND), None),
        next((cell for cell in cells if cell.phase == GRID and cell.contestant == breaks), None),
    )


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
