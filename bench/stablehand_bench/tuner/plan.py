"""What a run measures, and how long it will take. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, grid, workloads
from stablehand_bench.tuner.durations import Durations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_bench.tuner.workloads import Load, Workload

_BOOT_AND_END_SECONDS = 2.0
_USUAL_SETTLING_SECONDS = 25.0
PARTS = ("contest", "flip", "steady")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A whole run.

    `peer_rounds` is in how many of the rounds the other servers take part, `candidates` how many of the grid are
    measured again beside the others; `flip_seconds` and `steady_seconds` are how long a kind of load lasts before it
    flips, and how long nothing may change. Before that a tuner has the time of `steady` to settle, which is calm for
    longer than --autotune takes to take back slots that are not in use (120 s, and the trial before).
    """

    quick: bool
    parts: tuple[str, ...]
    names: tuple[str, ...]
    first_load_only: bool
    rounds: int
    peer_rounds: int
    candidates: int
    grid: Durations
    contest: Durations
    steady: Durations
    flip_seconds: int = 180
    flips: int = 5
    steady_seconds: int = 1800

    def pairs(self) -> list[tuple[Workload, Load]]:
        """Return each workload with each of its loads."""
        chosen = [workloads.BY_NAME[name] for name in self.names]
        return [(each, load) for each in chosen for load in (each.loads[:1] if self.first_load_only else each.loads)]

    def peers(self, workload: Workload, number: int) -> tuple[str, ...]:
        """Return who is measured beside Stablehand and the oracle's candidates in round `number`, counted from 0.

        A promise is made beside the documented default alone: so the others are there in fewer rounds.
        """
        if workload.extra or number >= self.peer_rounds:
            return (contestants.DOCUMENTED,)
        return contestants.PEERS

    def seconds(self, cores: int) -> float:
        """Estimate how long it takes."""
        return sum(self._parts_seconds(part, cores) for part in self.parts)

    def cells(self, cores: int) -> int:
        """Return how many cells the contest has at most."""
        return sum(
            len(grid.settings(cores, asgi=workload.asgi, quick=self.quick))
            + sum(self.candidates + 1 + len(self.peers(workload, number)) for number in range(self.rounds))
            for workload, _ in self.pairs()
        )

    def to_mapping(self) -> dict[str, object]:
        """Return what makes two runs' cells comparable, as JSON."""
        return {
            "quick": self.quick,
            "rounds": self.rounds,
            "candidates": self.candidates,
            "grid": dataclasses.asdict(self.grid),
            "contest": dataclasses.asdict(self.contest),
            "steady": dataclasses.asdict(self.steady),
            "flip_seconds": self.flip_seconds,
            "flips": self.flips,
            "steady_seconds": self.steady_seconds,
        }

    def _parts_seconds(self, part: str, cores: int) -> float:
        if part == "flip":
            return float(self.flip_seconds * self.flips)
        if part == "steady":
            return 2 * (_settling(self.steady) + self.steady_seconds)
        tuned = _settling(self.contest)
        seconds = 0.0
        for workload, load in self.pairs():
            once = _BOOT_AND_END_SECONDS + load.whole(self.contest.measured)
            in_grid = _BOOT_AND_END_SECONDS + self.grid.warm_up + load.whole(self.grid.measured)
            seconds += in_grid * len(grid.settings(cores, asgi=workload.asgi, quick=self.quick))
            for number in range(self.rounds):
                peers = self.peers(workload, number)
                fixed = self.candidates + len(peers) - (contestants.UWSGI in peers)
                seconds += fixed * (once + self.contest.warm_up) + tuned + once
                if contestants.UWSGI in peers:
                    seconds += once + self.contest.adapting
        return seconds


def make(
    *,
    quick: bool,
    parts: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    first_load_only: bool = False,
    rounds: int | None = None,
    peer_rounds: int | None = None,
) -> Plan:
    """Return the plan of a run; what is not said takes the default of a quick or a whole run.

    Raises:
        BenchError: naming an unknown part or workload.
    """
    every = tuple(each.name for each in workloads.ALL)
    chosen = tuple(names) if names else (workloads.QUICK if quick else every)
    _require_known(chosen, every, "workload")
    wanted = tuple(parts) if parts else (PARTS[:1] if quick else PARTS)
    _require_known(wanted, PARTS, "part")
    rounds = rounds or (1 if quick else 3)
    return Plan(
        quick=quick,
        parts=wanted,
        names=chosen,
        first_load_only=first_load_only or quick,
        rounds=rounds,
        peer_rounds=rounds if peer_rounds is None else peer_rounds,
        candidates=1 if quick else 2,
        grid=Durations(warm_up=1, measured=2 if quick else 4),
        contest=Durations(warm_up=1, measured=4, calm=25, tuning=60, adapting=15) if quick else Durations(),
        steady=Durations(calm=25, tuning=60) if quick else Durations(calm=150, tuning=600),
        **({"flip_seconds": 60, "flips": 3, "steady_seconds": 60} if quick else {}),
    )


def _settling(durations: Durations) -> float:
    return float(min(durations.tuning, durations.calm + _USUAL_SETTLING_SECONDS))


def _require_known(asked: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in asked:
        if name not in known:
            raise BenchError(f"there is no {what} {name!r}; known are {', '.join(known)}")
