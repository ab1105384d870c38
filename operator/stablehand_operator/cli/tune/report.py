"""A run as JSON: what `stablehand tune simulate --json` and `replay --json` print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stablehand_simulator import grid, survey
from stablehand_tuner.decision import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_simulator.grid import Performance
    from stablehand_simulator.run import Round, Run
    from stablehand_simulator.survey import Measured
    from stablehand_simulator.workload import Workload
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision


def news(run: Run) -> list[tuple[float, Decision]]:
    """Return the decisions other than hold, each once however often it was repeated, with their times."""
    found: list[tuple[float, Decision]] = []
    last: Decision | None = None
    for each in run.rounds:
        for decision in each.decisions:
            if decision.action is Action.HOLD:
                continue
            if last is None or (decision.action, decision.reason, decision.settings) != (
                last.action,
                last.reason,
                last.settings,
            ):
                found.append((each.at, decision))
            last = decision
    return found


def of_run(run: Run) -> dict[str, Any]:
    """Return the rounds, and what was decided."""
    return {
        "rounds": [_of_round(each) for each in run.rounds],
        "decisions": [{"at": at, **decision.to_mapping()} for at, decision in news(run)],
        "settings": _of_settings(run.settings),
    }


def of_simulation(run: Run, workload: Workload, seconds: float) -> dict[str, Any]:
    """Return the same, with the result beside the start and the best static settings."""
    start, end, best = compared(run, workload, seconds)
    return {
        **of_run(run),
        "changes": [{"at": at, "settings": settings.to_mapping()} for at, settings in run.changes],
        "settledAt": run.settled_at,
        "oomExits": run.oom_exits,
        "peakMemoryBytes": run.peak_memory_bytes,
        "compared": {"start": _of_performance(start), "end": _of_performance(end), "best": _of_performance(best)},
    }


def compared(run: Run, workload: Workload, seconds: float) -> tuple[Performance, Performance, Performance]:
    """Return the performance by formulas of the first, the last and the best settings, under the load at the end."""
    now = workload.at(seconds)
    return grid.performance(now, workload.start), grid.performance(now, run.settings or workload.start), grid.best(now)


def of_survey(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return how the tuner did on random workloads: in total, and each, the one farthest from the best first."""
    return {
        "workloads": len(measured),
        "geometricMeanOfBest": survey.mean_of_best(measured),
        "within5PercentOfBest": sum(each.of_best >= grid.AS_GOOD for each in measured),
        "worseThanStart": sorted(each.seed for each in measured if each.is_worse),
        "killedForMemory": sorted(each.seed for each in measured if each.oom_exits),
        "failedRequests": sum(each.failed for each in measured) / (sum(each.requests for each in measured) or 1.0),
        "outsideOfPolicy": sorted(each.seed for each in measured if each.broken),
        "each": [
            {
                "seed": each.seed,
                "ofBest": each.of_best,
                "ofStart": each.of_start,
                "p99OfBest": _finite(each.p99_of_best),
                "p99OfStart": _finite(each.p99_of_start),
                "changes": each.begun,
                "settledAt": each.settled_at,
                "start": _of_performance(each.start),
                "end": _of_performance(each.end),
                "best": _of_performance(each.best),
            }
            for each in survey.worst(measured, len(measured))
        ],
    }


def _of_round(this: Round) -> dict[str, Any]:
    seen, last = this.seen, this.decisions[-1] if this.decisions else None
    return {
        "at": this.at,
        "settings": _of_settings(this.settings),
        "canary": _of_settings(this.canary),
        "oneWorker": _of_settings(this.on_trial),
        "running": None if seen is None else _of_settings(seen.settings_active),
        "requestsPerSecond": None if seen is None else seen.requests_per_second,
        "errorShare": None if seen is None else seen.error_share,
        "inApp": None if seen is None else seen.in_app,
        "waiting": None if seen is None else seen.waiting,
        "cpuShare": None if seen is None else seen.cpu_share,
        "coresUsed": None if seen is None else seen.cores_used,
        "p99Seconds": None if seen is None else seen.p99_seconds,
        "action": None if last is None else last.action.value,
        "reason": None if last is None else last.reason.value,
        "message": None if last is None else last.message,
    }


def _of_settings(settings: Settings | None) -> dict[str, Any] | None:
    return None if settings is None else settings.to_mapping()


def _of_performance(performance: Performance) -> dict[str, Any]:
    return {
        "settings": performance.settings.to_mapping(),
        "requestsPerSecond": performance.goodput,
        "p99Seconds": _finite(performance.p99),
        "memoryBytes": performance.memory_bytes,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
