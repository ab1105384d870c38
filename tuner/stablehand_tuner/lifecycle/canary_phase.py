"""The life of a canary: one pod switches, is compared with its siblings, and is promoted or rolled back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import canary_verdict
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle.climb import Climb
from stablehand_tuner.lifecycle.ending import MUST_GAIN, Transition, roll_back, watch_again
from stablehand_tuner.lifecycle.phases import Applying, CanaryApplying, CanaryRunning, Change, Climbing
from stablehand_tuner.model import memory
from stablehand_tuner.observe import aggregation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.evidence.harm import Verdict
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

COLD_SHARE = 0.25  # of the trial's time: until then first requests, imports and caches slow the new workers down


def advance_canary(inputs: Inputs, state: TunerState, phase: CanaryApplying | CanaryRunning) -> Transition:
    """Switch the canary, or compare it with its siblings, unless something ends it before."""
    served = phase.change.before
    siblings = [each for pod, each in inputs.observations.items() if pod != phase.pod and each is not None]
    if phase.pod not in inputs.observations or len(inputs.observations) < 2:  # noqa: PLR2004 (the canary, and one to compare it with)
        is_gone = phase.pod not in inputs.observations
        message = f"{phase.pod} is gone" if is_gone else "no sibling is left to compare it with"
        return roll_back(inputs, state, phase, Reason.CANARY_LOST, message)
    seen = inputs.observations[phase.pod]
    outside = _changed_outside(state, phase, seen, siblings)
    if outside is not None:
        return outside
    steady = [each for each in siblings if each.steady and each.settings_active == served]
    if steady and (relief := memory.relieve_memory(inputs.policy, aggregation.combine(steady), served)) is not None:
        message = f"the canary cannot wait: {relief.message}"
        return roll_back(inputs, state, phase, Reason.MEMORY, message)
    if isinstance(phase, CanaryApplying):
        return _wait_for_canary(inputs, state, phase, seen)
    return _compare(inputs, state, phase, seen, steady)


def _wait_for_canary(inputs: Inputs, state: TunerState, phase: CanaryApplying, seen: Observation | None) -> Transition:
    """Begin the comparison once the canary runs its settings; if it refuses, or takes too long, roll back."""
    target = phase.change.target
    if seen is not None and seen.settings_active == target:
        comparison = Comparison.against(phase.baseline)
        running = CanaryRunning(inputs.now, phase.change, phase.pod, phase.baseline, comparison, aim=phase.aim)
        return dataclasses.replace(state, phase=running), _comparing(inputs.policy, running)
    if seen is not None and (seen.switches_rejected or seen.switches_rolled_back):
        message = f"{phase.pod} refused {target}, or rolled it back; see its log"
        return roll_back(inputs, state, phase, Reason.SERVER_REFUSED, message)
    seconds = inputs.now - phase.since
    if seconds < inputs.policy.windows.apply_seconds:
        return state, phase.change.decision
    message = f"after {seconds:.0f} s {phase.pod} does not run {target}"
    return roll_back(inputs, state, phase, Reason.APPLY_TIMED_OUT, message)


def _compare(
    inputs: Inputs, state: TunerState, phase: CanaryRunning, seen: Observation | None, steady: list[Observation]
) -> Transition:
    """Add one round to the comparison; promote the canary or roll it back once there is a verdict."""
    windows, target = inputs.policy.windows, phase.change.target
    seconds = inputs.now - phase.since
    if seen is None or not (seen.steady and seen.settings_active == target) or not steady:
        # what only one side shows cannot be compared
        phase = dataclasses.replace(phase, window=phase.window.add(None, missing=1, scrapes=1))
        state = dataclasses.replace(state, phase=phase)
        if seconds >= windows.canary_seconds + windows.apply_seconds:
            message = f"{phase.window.missing} scrapes failed since {phase.pod} switched to {target}"
            return roll_back(inputs, state, phase, Reason.APPLY_TIMED_OUT, message)
        return state, _comparing(inputs.policy, phase)
    settled = seconds > COLD_SHARE * windows.trial_seconds
    comparison = phase.comparison.add(seen, aggregation.combine(steady), settled=settled)
    window = phase.window.add(seen, missing=0, scrapes=1)
    phase = dataclasses.replace(phase, comparison=comparison, window=window)
    state = dataclasses.replace(state, phase=phase)
    observed = window.observed or seen
    verdict = canary_verdict.judge(
        comparison,
        observed,
        target,
        windows,
        served=phase.change.before,
        must_gain=phase.change.decision.reason in MUST_GAIN,
    )
    if verdict is None:
        return state, _comparing(inputs.policy, phase)
    if not verdict.passed:
        return roll_back(inputs, state, phase, verdict.reason, verdict.message)
    return _promote(inputs, state, phase, observed, verdict)


def _promote(
    inputs: Inputs, state: TunerState, phase: CanaryRunning, observed: Observation, verdict: Verdict
) -> Transition:
    before, target = phase.change.before, phase.change.target
    decision = Decision(
        Action.PROMOTE,
        verdict.reason,
        f"{target} for every pod instead of {before}: {verdict.message}",
        target,
        _evidence(observed, phase.comparison.control or observed),
        phase.pod,
    )
    # the canary keeps its settings until all have them, so that it does not switch back and forth
    if phase.aim is not None:
        climb = Climb.begin(phase.aim, before, phase.baseline)
        climbing = Climbing(inputs.now, Change(before, target, decision), phase.baseline, climb, before, pod=phase.pod)
        return dataclasses.replace(state, phase=climbing), decision
    applying = Applying(inputs.now, Change(before, target, decision), phase.baseline, phase.pod)
    return dataclasses.replace(state, phase=applying), decision


def _changed_outside(
    state: TunerState, phase: CanaryApplying | CanaryRunning, seen: Observation | None, siblings: list[Observation]
) -> Transition | None:
    """End the canary if the settings of the others, or of the canary itself, were changed from outside."""
    before, target = phase.change.before, phase.change.target
    theirs = siblings and all(each.steady and each.settings_desired not in {before, None} for each in siblings)
    ours = seen is not None and seen.steady and seen.settings_desired not in {before, target}
    if not theirs and not ours:
        return None
    found = seen.settings_desired if seen is not None and ours else siblings[0].settings_desired
    message = f"{found} was set from outside while {phase.pod} tried {target}: observing again"
    return watch_again(state, None if theirs else before), Decision(
        Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message
    )


def _comparing(policy: Policy, phase: CanaryRunning) -> Decision:
    observed, control = phase.window.observed, phase.comparison.control
    message = (
        f"{phase.pod} tries {phase.change.target}: {phase.window.seconds:.0f} s of "
        f"{policy.windows.canary_seconds:.0f} at most"
    )
    evidence = {} if observed is None or control is None else _evidence(observed, control)
    return Decision(Action.HOLD, Reason.CANARY_RUNNING, message, evidence=evidence, pod=phase.pod)


def _evidence(canary: Observation, siblings: Observation) -> dict[str, float]:
    return {
        "requests": round(canary.requests),
        "requests_siblings": round(siblings.requests),
        "error_share": round(canary.error_share, 5),
        "error_share_siblings": round(siblings.error_share, 5),
        "response_seconds": round(canary.response_seconds or 0.0, 6),
        "response_seconds_siblings": round(siblings.response_seconds or 0.0, 6),
        "cpu_seconds_per_request": round(canary.cpu_seconds_per_request or 0.0, 6),
        "cpu_seconds_per_request_siblings": round(siblings.cpu_seconds_per_request or 0.0, 6),
    }
