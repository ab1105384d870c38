"""The phases as plain JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts import trial as contract
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.decision import Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle import checked
from stablehand_tuner.lifecycle.climb import Climb
from stablehand_tuner.lifecycle.doubt import Doubt
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Change,
    Climbing,
    LowDemand,
    Phase,
    Recheck,
    RollingBack,
    Trial,
    Watching,
    WorkerTrial,
)
from stablehand_tuner.lifecycle.window import Window
from stablehand_tuner.observe.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMES: Mapping[type, str] = {
    Watching: "watching",
    WorkerTrial: "workerTrial",
    CanaryApplying: "canaryApplying",
    CanaryRunning: "canaryRunning",
    Applying: "applying",
    Climbing: "climbing",
    Trial: "trial",
    RollingBack: "rollingBack",
    Recheck: "recheck",
}


def to_mapping(phase: Phase) -> dict[str, Any]:
    """Return the phase as plain JSON, with its name."""
    if isinstance(phase, Watching):
        return {
            "name": _NAMES[Watching],
            "settings": _mapping(phase.settings),
            "window": phase.window.to_mapping(),
            "standing": _mapping(phase.standing),
            "lowDemand": None if phase.low_demand is None else dataclasses.asdict(phase.low_demand),
        }
    fields: dict[str, Any] = {"name": _NAMES[type(phase)], "since": phase.since}
    if isinstance(phase, RollingBack | Recheck):
        fields |= {"decision": phase.decision.to_mapping(), "doubt": _mapping(phase.doubt)}
    else:
        fields |= {
            "before": phase.change.before.to_mapping(),
            "decision": phase.change.decision.to_mapping(),
            "baseline": _mapping(phase.baseline),
        }
    if isinstance(phase, WorkerTrial | CanaryApplying | CanaryRunning | Applying | Climbing):
        fields["pod"] = phase.pod
    if isinstance(phase, WorkerTrial):
        fields |= {"trial": phase.trial.to_mapping(), "ownSettings": phase.own_settings, "canary": phase.canary}
    if isinstance(phase, WorkerTrial | CanaryApplying | CanaryRunning):
        fields["aim"] = _mapping(phase.aim)
    if isinstance(phase, Climbing):
        fields |= {"climb": phase.climb.to_mapping(), "ran": phase.ran.to_mapping()}
        fields["settling"] = phase.settling.to_mapping()
        fields["trial"] = _mapping(phase.trial)
    if isinstance(phase, Applying | Trial):
        fields["isSecondTry"] = phase.is_second_try
    if isinstance(phase, WorkerTrial | CanaryRunning):
        fields["comparison"] = phase.comparison.to_mapping()
    if isinstance(phase, WorkerTrial | CanaryRunning | Climbing | Trial | Recheck):
        fields["window"] = phase.window.to_mapping()
    return fields


def from_mapping(fields: Mapping[str, Any]) -> Phase:
    """Read what `to_mapping` wrote.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: when it is not that.
    """
    return _READERS[fields["name"]](fields)


def _watching(fields: Mapping[str, Any]) -> Watching:
    settings, standing, low_demand = fields["settings"], fields["standing"], fields["lowDemand"]
    return Watching(
        settings=None if settings is None else Settings.from_mapping(settings),
        window=Window.from_mapping(fields["window"]),
        standing=None if standing is None else Decision.from_mapping(standing),
        low_demand=None if low_demand is None else _low_demand(low_demand),
    )


def _low_demand(fields: Mapping[str, Any]) -> LowDemand:
    return LowDemand(
        since=checked.number(fields["since"]),
        slots=checked.count(fields["slots"]),
        workers=checked.count(fields["workers"]),
    )


def _worker_trial(fields: Mapping[str, Any]) -> WorkerTrial:
    canary = fields["canary"]
    return WorkerTrial(
        since=checked.number(fields["since"]),
        change=_change(fields),
        pod=str(fields["pod"]),
        baseline=Observation.from_mapping(fields["baseline"]),
        trial=contract.Trial.from_mapping(fields["trial"]),
        own_settings=checked.flag(fields["ownSettings"]),
        comparison=Comparison.from_mapping(fields["comparison"]),
        window=Window.from_mapping(fields["window"]),
        aim=_aim(fields),
        canary=None if canary is None else str(canary),
    )


def _canary_applying(fields: Mapping[str, Any]) -> CanaryApplying:
    return CanaryApplying(
        since=checked.number(fields["since"]),
        change=_change(fields),
        pod=str(fields["pod"]),
        baseline=Observation.from_mapping(fields["baseline"]),
        aim=_aim(fields),
    )


def _aim(fields: Mapping[str, Any]) -> Decision | None:
    aim = fields["aim"]
    return None if aim is None else _decision_with_settings(aim)[0]


def _canary_running(fields: Mapping[str, Any]) -> CanaryRunning:
    return CanaryRunning(
        since=checked.number(fields["since"]),
        change=_change(fields),
        pod=str(fields["pod"]),
        baseline=Observation.from_mapping(fields["baseline"]),
        comparison=Comparison.from_mapping(fields["comparison"]),
        window=Window.from_mapping(fields["window"]),
        aim=_aim(fields),
    )


def _applying(fields: Mapping[str, Any]) -> Applying:
    baseline, pod = fields["baseline"], fields["pod"]
    return Applying(
        since=checked.number(fields["since"]),
        change=_change(fields),
        baseline=None if baseline is None else Observation.from_mapping(baseline),
        pod=None if pod is None else str(pod),
        is_second_try=checked.flag(fields["isSecondTry"]),
    )


def _climbing(fields: Mapping[str, Any]) -> Climbing:
    pod, trial = fields["pod"], fields["trial"]
    return Climbing(
        since=checked.number(fields["since"]),
        change=_change(fields),
        baseline=Observation.from_mapping(fields["baseline"]),
        climb=Climb.from_mapping(fields["climb"]),
        ran=Settings.from_mapping(fields["ran"]),
        settling=Window.from_mapping(fields["settling"]),
        window=Window.from_mapping(fields["window"]),
        pod=None if pod is None else str(pod),
        trial=None if trial is None else contract.Trial.from_mapping(trial),
    )


def _trial(fields: Mapping[str, Any]) -> Trial:
    return Trial(
        since=checked.number(fields["since"]),
        change=_change(fields),
        baseline=Observation.from_mapping(fields["baseline"]),
        window=Window.from_mapping(fields["window"]),
        is_second_try=checked.flag(fields["isSecondTry"]),
    )


def _rolling_back(fields: Mapping[str, Any]) -> RollingBack:
    doubt = fields["doubt"]
    decision, settings = _decision_with_settings(fields["decision"])
    return RollingBack(
        since=checked.number(fields["since"]),
        settings=settings,
        decision=decision,
        doubt=None if doubt is None else Doubt.from_mapping(doubt),
    )


def _recheck(fields: Mapping[str, Any]) -> Recheck:
    decision, settings = _decision_with_settings(fields["decision"])
    return Recheck(
        since=checked.number(fields["since"]),
        settings=settings,
        decision=decision,
        doubt=Doubt.from_mapping(fields["doubt"]),
        window=Window.from_mapping(fields["window"]),
    )


def _change(fields: Mapping[str, Any]) -> Change:
    decision, target = _decision_with_settings(fields["decision"])
    return Change(Settings.from_mapping(fields["before"]), target, decision)


def _decision_with_settings(fields: Mapping[str, Any]) -> tuple[Decision, Settings]:
    decision = Decision.from_mapping(fields)
    if decision.settings is None:
        raise ValueError("a change needs settings to change to")
    return decision, decision.settings


def _mapping(value: Settings | Decision | Observation | Doubt | contract.Trial | None) -> dict[str, Any] | None:
    return None if value is None else value.to_mapping()


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Phase]] = {
    "watching": _watching,
    "workerTrial": _worker_trial,
    "canaryApplying": _canary_applying,
    "canaryRunning": _canary_running,
    "applying": _applying,
    "climbing": _climbing,
    "trial": _trial,
    "rollingBack": _rolling_back,
    "recheck": _recheck,
}
