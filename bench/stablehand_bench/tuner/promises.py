"""What must hold beyond speed: flips are followed, steady load is left alone, nothing dangerous ever happens. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench.tuner import contestants, summary, workloads
from stablehand_bench.tuner.results import CONTEST, FLIP, STEADY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stablehand_bench.tuner.results import Cell, Tuned
    from stablehand_bench.tuner.summary import Result

GAIN_GOAL = 5.5
CHANGES_AN_HOUR = 20  # the policy's default budget
HEADROOM = 2.0  # on the waiting part of a request, by which the tuner's model exceeds the best number of slots
# One window of a trial (autotune's default), and as much again for the two switches and what the windows wait for.
GEVENT_SECONDS = 12.0


class Promise(NamedTuple):
    """A promise, what was seen of it, and whether it was kept."""

    text: str
    seen: str
    kept: bool


def promises(cells: Sequence[Cell], results: Sequence[Result]) -> list[Promise]:
    """Return the promises on which there are measurements."""
    return [*_speed(results), *_failures(cells), *_flips(cells, results), *_steady(cells), *_danger(cells, results)]


def _speed(results: Sequence[Result]) -> Iterator[Promise]:
    tuned = list(_tuned(cell for result in results for cell in result.stablehand))
    if tuned:
        times = sorted(each.settled_seconds for each in tuned)
        median = times[len(times) // 2]
        seen = f"median {median:.0f} s, longest {times[-1]:.0f} s, of {len(times)} runs"
        yield Promise("settled within 120 s of load", seen, times[-1] <= summary.SETTLING_GOAL_SECONDS)
    gains = {(each.workload, each.load): summary.gain(each, contestants.DOCUMENTED) for each in results}
    known = {key: value for key, value in gains.items() if value is not None}
    prize = [
        value
        for (name, load), value in known.items()
        if workloads.BY_NAME[name].prize and load == workloads.CLOSED_64.name
    ]
    if len(prize) == sum(each.prize for each in workloads.ALL):
        mean = summary.geometric_mean(prize)
        yield Promise(
            f"at least {GAIN_GOAL} times the throughput of 2n+1 sync, as the geometric mean over the five kinds of the "
            "prize",
            f"{mean:.2f} times",
            mean >= GAIN_GOAL,
        )
    if known:
        (name, load), least = min(known.items(), key=lambda item: item[1])
        mean = summary.geometric_mean(list(known.values()))
        seen = f"least {least:.2f} times, {name} at {load}; geometric mean of all {mean:.2f}"
        yield Promise("never below 0.95 of 2n+1 sync", seen, least >= summary.THROUGHPUT_GOAL)


def _failures(cells: Sequence[Cell]) -> Iterator[Promise]:
    requests = sum(each.requests for each in _tuned(cells))
    failed = sum(each.failed for each in _tuned(cells))
    if requests:
        yield Promise("no request fails while the tuner works", f"{failed:,} of {requests:,} failed", not failed)


def _flips(cells: Sequence[Cell], results: Sequence[Result]) -> Iterator[Promise]:
    stretches = [cell for cell in cells if cell.phase == FLIP]
    if not stretches:
        return
    best = {
        each.workload: each.standings[summary.ORACLE].per_second
        for each in results
        if each.load == workloads.CLOSED_64.name and summary.ORACLE in each.standings
    }
    for cell in stretches:
        spread = best.get(cell.workload)
        text = f"stretch {cell.round} of a load that flips, {cell.workload}: followed"
        if cell.note:
            yield Promise(text, _one_line(cell.note), kept=False)
            continue
        if spread is None:
            seen = f"{cell.per_second:.0f}/s at its end, with {cell.settings}; no oracle was measured beside it"
            yield Promise(text, seen, kept=False)
            continue
        ratio = cell.per_second / spread.median
        seen = f"{ratio:.2f} of the oracle's throughput at its end, with {cell.settings}"
        yield Promise(text, seen, ratio >= summary.THROUGHPUT_GOAL)
    last = stretches[-1].tuned
    if last is not None:
        yield Promise(
            f"flips cost no more changes than the budget of {CHANGES_AN_HOUR} an hour",
            f"{last.changes} in {last.watched_seconds / 60:.0f} minutes",
            last.changes <= CHANGES_AN_HOUR,
        )


def _steady(cells: Sequence[Cell]) -> Iterator[Promise]:
    for cell in cells:
        if cell.phase == STEADY and cell.note:
            yield Promise(f"steady load ({cell.load}) changes nothing", _one_line(cell.note), kept=False)
        elif cell.phase == STEADY and cell.tuned is not None:
            began = cell.tuned.watched_seconds - cell.seconds
            after = sum(1 for at, _ in cell.tuned.timeline if at > began)
            yield Promise(
                f"{cell.seconds / 60:.0f} minutes of steady load ({cell.load}) change nothing",
                f"{after} changes, settled after {cell.tuned.settled_seconds:.0f} s",
                after == 0,
            )


def _danger(cells: Sequence[Cell], results: Sequence[Result]) -> Iterator[Promise]:
    contest = [cell for cell in cells if cell.phase == CONTEST]
    blocking = [each.gevent_seconds for each in _tuned(c for c in contest if c.workload == "blocking-c")]
    if blocking:
        yield Promise(
            "an app that blocks in C never stays on gevent for longer than a trial "
            f"({GEVENT_SECONDS:g} s with both switches)",
            f"longest {max(blocking):.0f} s",
            max(blocking) <= GEVENT_SECONDS,
        )
    killed = [each.killed_for_memory for each in _tuned(c for c in contest if c.workload == "memory")]
    if killed:
        yield Promise("the kernel never kills a process for memory", f"{sum(killed)} killed", not sum(killed))
    for result in results:
        if result.workload == "slow-backend" and result.oracle_settings:
            yield from _backend(result, contest)


def _backend(result: Result, contest: Sequence[Cell]) -> Iterator[Promise]:
    best = [
        cell.backend_peak
        for cell in contest
        if cell.workload == result.workload and cell.contestant == contestants.STATIC + result.oracle_settings
    ]
    mine = [cell.backend_peak for cell in result.stablehand]
    if best and mine:
        ratio = max(mine) / max(*best, 1)
        yield Promise(
            f"a backend with a small pool never sees more than {HEADROOM:g} times the requests of the best settings",
            f"{max(mine)} at once, the best settings ({result.oracle_settings}) {max(best)}",
            ratio <= HEADROOM,
        )


def _one_line(text: str) -> str:
    return text.strip().splitlines()[-1].replace("|", "/")


def _tuned(cells: Iterable[Cell]) -> Iterator[Tuned]:
    return (cell.tuned for cell in cells if cell.tuned is not None)
