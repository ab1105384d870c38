"""The three conditions of an app: Ready, SettingsAccepted, Tuning."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stablehand_operator.events import timestamp
from stablehand_operator.pods import Failure
from stablehand_operator.resource_status import Condition
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stablehand_operator.pods import Pod
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.lifecycle.canary import Canary
    from stablehand_tuner.observe.observation import Observation

READY = "Ready"
SETTINGS_ACCEPTED = "SettingsAccepted"
TUNING = "Tuning"

REFUSAL_SHOWN_SECONDS = 600.0
"""How long a refusal of settings stays visible after every pod runs what it should again."""

_REFUSALS = frozenset({Reason.SERVER_REFUSED, Reason.APPLY_TIMED_OUT})

Status = Literal["True", "False", "Unknown"]


class Finding(NamedTuple):
    """The content of a condition, without the time of its last transition."""

    status: Status
    reason: str
    message: str


def ready(wanted: int, deployment: Mapping[str, Any] | None, pods: Sequence[Pod], problem: Failure | None) -> Finding:
    """Tell whether all pods of the current template serve, and if not, what prevents it."""
    if problem is not None:
        return Finding("False", problem.reason, problem.message)
    if deployment is None:
        return Finding("Unknown", "Starting", "the Deployment is not there yet")
    status = deployment.get("status") or {}
    current = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    serving = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0)) if current else 0
    if current and serving >= wanted and status.get("replicas", 0) == wanted:
        if wanted == 0:
            return Finding("True", "ScaledToZero", "no pods are wanted")
        return Finding("True", "PodsReady", f"{serving} of {wanted} pods are ready")
    failure = _what_fails(status, pods)
    if failure is not None:
        return Finding("False", failure.reason, failure.message)
    return Finding("False", "PodsStarting", f"{min(serving, wanted)} of {wanted} pods are ready")


def _what_fails(deployed: Mapping[str, Any], pods: Sequence[Pod]) -> Failure | None:
    """Return why the newest pod that fails does not serve, or why the Deployment creates no pods."""
    for pod in pods:
        if pod.failure is not None and not pod.deleting:
            return pod.failure
    for each in deployed.get("conditions") or []:
        if each["type"] == "ReplicaFailure" and each.get("status") == "True":
            return Failure("PodsRefused", each.get("message") or "the pods cannot be created")
    return None


def settings_accepted(
    previous: Condition | None,
    desired: Settings,
    observations: Mapping[str, Observation | None],
    decision: Decision | None,
    now: dt.datetime,
    *,
    canary: Canary | None,
    refusing: Collection[str],
) -> Finding:
    """Tell whether the servers run what they should.

    `refusing` names the pods whose servers report that they refuse their newest settings. A refusal stays visible for a
    while after the old settings are active again, so that somebody who looks a minute later still sees it.
    """
    measured = {pod: each for pod, each in observations.items() if each is not None}
    refusal = _refusal(measured, decision, refusing)
    if refusal is not None:
        return refusal
    if not measured:
        return _as_before(previous) or Finding("Unknown", "NotMeasured", "no pod was scraped yet")
    own = {} if canary is None else {canary.pod: canary.settings}
    differing = sorted(pod for pod, each in measured.items() if each.settings_active != own.get(pod, desired))
    if previous is not None and previous.status == "False":
        age = (now - _moment(previous.last_transition_time)).total_seconds()
        if differing or age < REFUSAL_SHOWN_SECONDS:
            return Finding("False", previous.reason, previous.message)
    if differing:
        return Finding("Unknown", "Applying", f"{len(differing)} of {len(measured)} pods do not run {desired} yet")
    return Finding("True", "Active", _active(desired, canary))


def _active(desired: Settings, canary: Canary | None) -> str:
    if canary is None:
        return f"every pod runs {desired}"
    if canary.trial is not None:
        tried = canary.trial.settings(1)
        return f"one worker of pod {canary.pod} tries {tried}; every other worker runs {desired}"
    return f"pod {canary.pod} runs {canary.settings} as a canary; every other pod runs {desired}"


def _refusal(
    measured: Mapping[str, Observation], decision: Decision | None, refusing: Collection[str]
) -> Finding | None:
    """Return the refusal of settings that the tuner, or else a server, reports now."""
    if decision is not None and decision.reason in _REFUSALS:
        return Finding("False", decision.reason.value, decision.message)
    for pod, each in measured.items():
        if each.switches_rejected or each.switches_rolled_back:
            how = "refused" if each.switches_rejected else "could not start with"
            now_running = each.settings_active or "what it ran before"
            message = f"pod {pod} {how} its settings and runs {now_running}; see its log"
            return Finding("False", Reason.SERVER_REFUSED.value, message)
    if refusing:
        message = f"pod {min(refusing)} refuses its newest settings, or could not start with them; see its log"
        return Finding("False", Reason.SERVER_REFUSED.value, message)
    return None


def tuning(mode: Mode, decision: Decision | None, previous: Condition | None, *, serving: bool) -> Finding:
    """Tell whether the tuner is working, and its last decision; `serving` is whether any pod serves."""
    if mode is Mode.OFF:
        return Finding("False", Reason.MODE_OFF.value, Reason.MODE_OFF.meaning)
    if serving and decision is not None and decision.reason is Reason.NO_PODS:
        # Decided before they were ready, or after only one scrape: two are needed to compare.
        return Finding("True", "Starting", "the pods serve, and are being observed")
    if decision is None:
        return _as_before(previous) or Finding("True", "Starting", "there is no decision yet")
    return Finding("True", decision.reason.value, decision.message)


def with_condition(
    conditions: Sequence[Condition], kind: str, finding: Finding, generation: int, now: dt.datetime
) -> list[Condition]:
    """Return the conditions with this one renewed; its time moves only when its status does."""
    previous = find(conditions, kind)
    since = previous.last_transition_time if previous and previous.status == finding.status else timestamp(now)
    renewed = Condition(
        type=kind,
        status=finding.status,
        observed_generation=generation,
        last_transition_time=since,
        reason=finding.reason,
        message=finding.message,
    )
    return sorted([*(each for each in conditions if each.type != kind), renewed], key=lambda each: each.type)


def find(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of a type."""
    return next((each for each in conditions if each.type == kind), None)


def _as_before(previous: Condition | None) -> Finding | None:
    return None if previous is None else Finding(previous.status, previous.reason, previous.message)


def _moment(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.timezone.utc)
