"""The status that people read, derived from what the operator knows of an app. Pure: the same view, the same status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_operator import conditions
from stablehand_operator.desired import noted, read, written
from stablehand_operator.events import timestamp
from stablehand_operator.names import selector_labels
from stablehand_operator.resource_status import (
    HISTORY_LENGTH,
    CanaryStatus,
    HistoryEntry,
    Observed,
    Summary,
    WSGIAppStatus,
)
from stablehand_tuner.decision import Action
from stablehand_tuner.observe.aggregation import combine
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from stablehand_operator.pods import Failure, Pod
    from stablehand_operator.resource import WSGIApp
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.lifecycle.canary import Canary
    from stablehand_tuner.observe.observation import Observation


class AppView(NamedTuple):
    """What the operator knows of an app at one moment."""

    app: WSGIApp
    desired: Settings
    deployment: Mapping[str, Any] | None
    pods: Sequence[Pod]
    observations: Mapping[str, Observation | None]
    refusing: Collection[str]
    decision: Decision | None
    recommended: Settings | None
    canary: Canary | None
    problem: Failure | None


def describe(previous: WSGIAppStatus, view: AppView, now: dt.datetime) -> WSGIAppStatus:
    """Return the status that follows from the view; history and the tuner's state stay as they are."""
    app = view.app
    deployed = (view.deployment or {}).get("status") or {}
    measured = [each for each in view.observations.values() if each is not None]
    findings = {
        conditions.READY: conditions.ready(app.spec.replicas, view.deployment, view.pods, view.problem),
        conditions.SETTINGS_ACCEPTED: conditions.settings_accepted(
            conditions.find(previous.conditions, conditions.SETTINGS_ACCEPTED),
            view.desired,
            view.observations,
            view.decision,
            now,
            canary=view.canary,
            refusing=view.refusing,
        ),
        conditions.TUNING: conditions.tuning(
            Mode(app.spec.tuning.mode or Mode.AUTO),
            view.decision,
            conditions.find(previous.conditions, conditions.TUNING),
            serving=any(pod.should_serve for pod in view.pods),
        ),
    }
    renewed = previous.conditions
    for kind, finding in findings.items():
        renewed = conditions.with_condition(renewed, kind, finding, app.generation, now)
    # What keeps the app from serving is more urgent than why its settings are as they are.
    shown = findings[conditions.READY if findings[conditions.READY].status != "True" else conditions.TUNING]
    # The columns and `settings` are about the other pods; the canary has a field of its own.
    others = [each for pod, each in view.observations.items() if each is not None and not _is_canary(view, pod)]
    active = _agreed(each.settings_active for each in others) if others else read(previous.settings.active)
    settings = noted(app, previous, view.desired).model_copy(
        update={
            "active": written(active) if active else None,
            "recommended": written(view.recommended) if view.recommended else None,
        }
    )
    return previous.model_copy(
        update={
            "observed_generation": app.generation,
            "reason": shown.reason,
            "message": shown.message,
            "conditions": renewed,
            "replicas": deployed.get("replicas", 0),
            "ready_replicas": deployed.get("readyReplicas", 0),
            "selector": ",".join(f"{name}={value}" for name, value in selector_labels(app.name).items()),
            "settings": settings,
            "canary": _canary(view.canary),
            "summary": _summary(previous.summary, view, others, deployed),
            "observed": _observed(measured) if measured else previous.observed,
        }
    )


def with_problem(status: WSGIAppStatus, problem: Failure, generation: int, now: dt.datetime) -> WSGIAppStatus:
    """Return the status with a problem that keeps the operator from handling the app."""
    finding = conditions.Finding("False", problem.reason, problem.message)
    return status.model_copy(
        update={
            "reason": problem.reason,
            "message": problem.message,
            "conditions": conditions.with_condition(status.conditions, conditions.READY, finding, generation, now),
        }
    )


def with_history(status: WSGIAppStatus, decision: Decision, before: Settings | None, now: dt.datetime) -> WSGIAppStatus:
    """Return the status with a decision added to its history, as the first."""
    entry = HistoryEntry.model_validate(
        {
            "time": timestamp(now),
            "action": decision.action.value,
            "reason": decision.reason.value,
            "message": decision.message,
            "from": "" if before is None else str(before),
            "to": "" if decision.settings is None else str(decision.settings),
        }
    )
    return status.model_copy(update={"history": [entry, *status.history][:HISTORY_LENGTH]})


def is_news(status: WSGIAppStatus, decision: Decision) -> bool:
    """Tell whether a decision is worth a line of history and an Event.

    A change under way is decided again at every step until all pods run it, and a recommendation stands until there is
    another one: each is news once. So are the beginning and the end of a canary, which may change nothing for the other
    pods. Of a climb its beginning and its end are news, and steps back, but not each step that does no harm.
    """
    if decision.action is Action.HOLD or decision.reason is Reason.NEXT_STEP:
        return False
    if decision.changes_settings:
        differs = decision.settings != read(status.settings.desired)
        if differs or decision.pod is None:
            return differs
    last = status.history[0] if status.history else None
    return last is None or (last.action, last.reason, last.to_settings) != (
        decision.action.value,
        decision.reason.value,
        "" if decision.settings is None else str(decision.settings),
    )


def is_urgent(old: WSGIAppStatus, new: WSGIAppStatus) -> bool:
    """Tell whether a new status has to be written at once; one that differs only in numbers may wait some seconds."""
    return _without_numbers(old) != _without_numbers(new)


def _without_numbers(status: WSGIAppStatus) -> dict[str, Any]:
    kept = status.model_copy(update={"observed": None, "tuner": None, "message": ""}).to_json()
    kept["conditions"] = [{**each, "message": ""} for each in kept.get("conditions", [])]
    return kept


def _summary(previous: Summary, view: AppView, measured: Sequence[Observation], deployed: Mapping[str, Any]) -> Summary:
    texts: dict[str, str] = {
        "ready": f"{deployed.get('readyReplicas', 0)}/{view.app.spec.replicas}",
        "desired": str(view.desired),
        "recommended": str(view.recommended) if view.recommended else "",
    }
    running = {each.settings_active for each in measured if each.settings_active is not None}
    if not running and not previous.worker_class:
        # No pod was scraped yet: they start with what is desired.
        running = {view.desired}
    if running:
        texts |= {
            "worker_class": _change([each.worker_class.value for each in running], view.desired.worker_class.value),
            "workers": _change([str(each.workers) for each in running], str(view.desired.workers)),
            "threads": _change([str(each.threads) for each in running], str(view.desired.threads)),
            "active": _change([str(each) for each in running], str(view.desired)),
        }
    return previous.model_copy(update=texts)


def _change(running: Iterable[str], desired: str) -> str:
    """Return the one value that runs, or `old→new` while there are several or another one is desired."""
    others = sorted(set(running) - {desired})
    return f"{'/'.join(others)}→{desired}" if others else desired


def _observed(measured: Sequence[Observation]) -> Observed:
    app = combine(measured)
    return Observed(
        pods=len(measured),
        requests_per_second=_rounded(app.requests_per_second),
        errors_per_second=_rounded(app.errors_per_second),
        mean_seconds=_rounded(app.mean_seconds),
        p50_seconds=_rounded(app.p50_seconds),
        p99_seconds=_rounded(app.p99_seconds),
        cpu_share=_rounded(app.cpu_share),
        busy_slots=_rounded(app.busy_slots),
        slots=round(app.slots),
        backlog=_rounded(app.backlog),
        cores_used=_rounded(app.cores_used),
        cores=_rounded(app.cores),
        memory_bytes=_rounded(app.worker_memory_bytes),
    )


def _is_canary(view: AppView, pod: str) -> bool:
    return view.canary is not None and view.canary.trial is None and view.canary.pod == pod


def _canary(canary: Canary | None) -> CanaryStatus | None:
    if canary is None:
        return None
    tried = canary.settings if canary.trial is None else canary.trial.settings(1)
    return CanaryStatus(pod=canary.pod, settings=written(tried), one_worker=canary.trial is not None)


def _rounded(value: float | None) -> float | None:
    """Return three digits of a number: more would be noise, and each change of a digit is a write."""
    return None if value is None else float(f"{value:.3g}")


def _agreed(values: Iterable[Settings | None]) -> Settings | None:
    """Return the one value that all agree on, or None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
