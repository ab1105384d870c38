"""From cells to what they say: Stablehand beside the oracle, and beside everyone else, load by load. Pure.

Ratios are taken within a round, where both were measured within minutes of each other, and their median counts.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

from stablehand_bench import rounds
from stablehand_bench.rounds import Spread
from stablehand_bench.tuner import contestants, oracle
from stablehand_bench.tuner.results import CONTEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stablehand_bench.tuner.results import Cell

ORACLE = "oracle"
THROUGHPUT_GOAL = 0.95
LATENCY_GOAL = 1.25
SETTLING_GOAL_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Standing:
    """One contestant under one load: medians and ranges over the rounds.

    `ratio` is its throughput and `latency_ratio` its p99, to the oracle's in the same round; None where one of the two
    has nothing. `rates` are requests a second by round. `note` says why there is nothing.
    """

    per_second: Spread | None
    p99_seconds: Spread | None
    ratio: Spread | None
    latency_ratio: Spread | None
    memory_bytes: float
    processes: float
    failed: int
    note: str
    rates: Mapping[int, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """One workload under one load. `oracle_settings` is empty when no static settings served without a failure."""

    workload: str
    load: str
    oracle_settings: str
    standings: Mapping[str, Standing]
    stablehand: Sequence[Cell]

    @property
    def shortfalls(self) -> list[str]:
        """What it promises and does not hold here, as sentences without a subject; empty when it holds all."""
        return list(_shortfalls(self))


def summarise(cells: Iterable[Cell]) -> list[Result]:
    """Return the results of a contest, in the order in which they were measured."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.phase == CONTEST:
            groups.setdefault((cell.workload, cell.load), []).append(cell)
    return [_result(workload, load, group) for (workload, load), group in groups.items()]


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers, with which ratios are averaged."""
    return statistics.geometric_mean(values)


def gain(result: Result, over: str) -> float | None:
    """Return how many times another contestant's throughput Stablehand reaches; None where one of them has none."""
    mine, other = result.standings.get(contestants.STABLEHAND), result.standings.get(over)
    if mine is None or other is None:
        return None
    both = [number for number in mine.rates if number in other.rates]
    ratios = _ratios([mine.rates[number] for number in both], [other.rates[number] for number in both])
    return None if ratios is None else ratios.median


def _result(workload: str, load: str, cells: Sequence[Cell]) -> Result:
    by_name: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell.contestant, {})[cell.round] = cell
    winner = oracle.best(_score(name, tries) for name, tries in by_name.items() if _is_able(name, tries))
    base = by_name[winner.name] if winner is not None else {}
    standings = {}
    if winner is not None:
        standings[ORACLE] = _standing(base, base)
    for name, tries in by_name.items():
        if not name.startswith(contestants.STATIC):
            standings[name] = _standing(tries, base)
    return Result(
        workload,
        load,
        winner.name.removeprefix(contestants.STATIC) if winner is not None else "",
        standings,
        [by_name[contestants.STABLEHAND][number] for number in sorted(by_name.get(contestants.STABLEHAND, {}))],
    )


def _is_able(name: str, tries: Mapping[int, Cell]) -> bool:
    return name.startswith(contestants.STATIC) and all(cell.is_sound for cell in tries.values())


def _score(name: str, tries: Mapping[int, Cell]) -> oracle.Score:
    return oracle.Score(
        name,
        statistics.median(cell.per_second for cell in tries.values()),
        statistics.median(cell.p99_seconds for cell in tries.values()),
    )


def _standing(tries: Mapping[int, Cell], base: Mapping[int, Cell]) -> Standing:
    able = {number: cell for number, cell in tries.items() if not cell.note and cell.requests}
    both = [number for number in able if number in base]
    note = next((cell.note for cell in tries.values() if cell.note), "")
    if not able:
        return Standing(None, None, None, None, 0.0, 0.0, sum(cell.failed for cell in tries.values()), note)
    return Standing(
        per_second=Spread.of([cell.per_second for cell in able.values()]),
        p99_seconds=Spread.of([cell.p99_seconds for cell in able.values()]),
        ratio=_ratios([able[n].per_second for n in both], [base[n].per_second for n in both]),
        latency_ratio=_ratios([able[n].p99_seconds for n in both], [base[n].p99_seconds for n in both]),
        memory_bytes=statistics.median(cell.memory_bytes for cell in able.values()),
        processes=statistics.median(cell.processes for cell in able.values()),
        failed=sum(cell.failed for cell in able.values()),
        note=note,
        rates={number: cell.per_second for number, cell in able.items()},
    )


def _ratios(values: Sequence[float], base: Sequence[float]) -> Spread | None:
    return rounds.ratios(values, base) if values else None


def _shortfalls(result: Result) -> Iterable[str]:
    standing = result.standings.get(contestants.STABLEHAND)
    if standing is None or standing.per_second is None:
        yield f"was not measured: {standing.note if standing is not None else 'no run'}"
        return
    if standing.ratio is None or standing.latency_ratio is None:
        yield "has no oracle to be compared with: no static settings served without a failure"
    else:
        if standing.ratio.median < THROUGHPUT_GOAL:
            yield f"reached {standing.ratio.median:.2f} of the oracle's throughput (goal {THROUGHPUT_GOAL:g})"
        if standing.latency_ratio.median > LATENCY_GOAL:
            yield f"has {standing.latency_ratio.median:.2f} times the oracle's p99 (goal {LATENCY_GOAL:g})"
    tuned = [cell.tuned for cell in result.stablehand if cell.tuned is not None]
    slowest = max((each.settled_seconds for each in tuned), default=0.0)
    if slowest > SETTLING_GOAL_SECONDS:
        yield f"settled only after {slowest:.0f} s (goal {SETTLING_GOAL_SECONDS:g} s)"
    failed = sum(each.failed for each in tuned)
    if failed:
        yield f"failed {failed:,} requests (goal 0)"
    below = gain(result, contestants.DOCUMENTED)
    if below is not None and below < THROUGHPUT_GOAL:
        yield f"reached {below:.2f} of what the documented 2n+1 sync reaches (goal {THROUGHPUT_GOAL:g})"
