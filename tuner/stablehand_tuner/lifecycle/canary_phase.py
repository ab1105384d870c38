"""The life of a canary: one pod switches, is compared with its siblings, and is promoted or rolled back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import canary_verdict
from stablehand_tuner.lifecycle.ending import Transition, clear_window, elapsed, end, roll_back
from stablehand_tuner.lifecycle.state import Phase, TunerState
from stablehand_tuner.model import memory
from stablehand_tuner.observe import aggregation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.canary import Canary
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

COLD_SHARE = 0.25  # of the trial's time: so long the new workers' first requests, imports and caches are no verdict


def go_on(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    canary: Canary,
    change: Decision,
) -> Transition:
    """Take the canary one step further."""
    served = state.settings
    siblings = [each for pod, each in observations.items() if pod != canary.pod and each is not None]
    if canary.pod not in observations or len(observations) < 2:  # noqa: PLR2004 (the canary, and one to compare it with)
        what = f"{canary.pod} is gone" if canary.pod not in observations else "no sibling is left to compare it with"
        return roll_back(policy, state, now, Reason.CANARY_LOST, what, target=canary.settings)
    steady = [each for each in siblings if each.steady and each.settings_active == served]
    outside = _changed_outside(state, siblings, observations[canary.pod], canary)
    if served is None or outside is not None:
        return outside or (end(state, settings=None), change)
    if steady and (relief := memory.relieve_memory(policy, aggregation.combine(steady), served)) is not None:
        message = f"the canary cannot wait: {relief.message}"
        return roll_back(policy, state, now, Reason.MEMORY, message, target=canary.settings)
    if state.phase is Phase.CANARY_APPLYING:
        return _applying(policy, state, observations[canary.pod], now, canary=canary, change=change)
    return _compare(policy, state, observations[canary.pod], steady, now, canary=canary, served=served)


def _applying(
    policy: Policy, state: TunerState, seen: Observation | None, now: float, *, canary: Canary, change: Decision
) -> Transition:
    if seen is not None and seen.settings_active == canary.settings:
        return clear_window(state, phase=Phase.CANARY, since=now), _running(policy, state, canary)
    if seen is not None and (seen.switches_rejected or seen.switches_rolled_back):
        message = f"{canary.pod} refused {canary.settings}, or rolled it back; see its log"
        return roll_back(policy, state, now, Reason.SERVER_REFUSED, message, target=canary.settings)
    seconds = elapsed(state, now)
    if seconds < policy.windows.apply_seconds:
        return state, change
    message = f"after {seconds:.0f} s {canary.pod} does not run {canary.settings}"
    return roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, message, target=canary.settings)


def _compare(
    policy: Policy,
    state: TunerState,
    seen: Observation | None,
    steady: list[Observation],
    now: float,
    *,
    canary: Canary,
    served: Settings,
) -> Transition:
    windows = policy.windows
    speaks = seen is not None and seen.steady and seen.settings_active == canary.settings
    if seen is None or not speaks or not steady:
        # what only one side shows is compared with nothing
        state = dataclasses.replace(state, window_missing=state.window_missing + 1)
        if elapsed(state, now) >= windows.canary_seconds + windows.apply_seconds:
            message = f"{state.window_missing} scrapes failed since {canary.pod} runs {canary.settings}"
            return roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, message, target=canary.settings)
        return state, _running(policy, state, canary)
    settled = elapsed(state, now) > COLD_SHARE * windows.trial_seconds
    comparison = canary.comparison.add(seen, aggregation.combine(steady), settled=settled)
    canary = dataclasses.replace(canary, comparison=comparison)
    window = seen if state.window is None else aggregation.merge(state.window, seen)
    state = dataclasses.replace(state, canary=canary, window=window)
    must_gain = state.change is not None and state.change.reason is Reason.EVENT_LOOP
    outcome = canary_verdict.judge(comparison, window, canary.settings, windows, served=served, must_gain=must_gain)
    if outcome is None:
        return state, _running(policy, state, canary)
    if not outcome.passed:
        return roll_back(policy, state, now, outcome.reason, outcome.message, target=canary.settings)
    decision = Decision(
        Action.PROMOTE,
        outcome.reason,
        f"{canary.settings} for every pod instead of {served}: {outcome.message}",
        canary.settings,
        _evidence(window, comparison.control or window),
        canary.pod,
    )
    # the canary keeps its settings until all have them, so that it does not switch back and forth
    return clear_window(state, phase=Phase.APPLYING, since=now, change=decision), decision


def _changed_outside(
    state: TunerState, siblings: list[Observation], seen: Observation | None, canary: Canary
) -> Transition | None:
    """End the canary where somebody else changed the settings of the others, or of the canary itself."""
    theirs = siblings and all(each.steady and each.settings_desired not in {state.settings, None} for each in siblings)
    known = {state.settings, canary.settings}
    ours = seen is not None and seen.steady and seen.settings_desired not in known
    if not theirs and not ours:
        return None
    found = seen.settings_desired if seen is not None and ours else siblings[0].settings_desired
    message = f"somebody set {found} while {canary.pod} tried {canary.settings}: the tuner watches anew"
    return end(state, settings=None if theirs else state.settings), Decision(
        Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message
    )


def _running(policy: Policy, state: TunerState, canary: Canary) -> Decision:
    window, control = state.window, canary.comparison.control
    seconds = 0.0 if window is None else window.seconds
    message = f"{canary.pod} tries {canary.settings}: {seconds:.0f} s of {policy.windows.canary_seconds:.0f} at most"
    if window is None or control is None:
        return Decision(Action.HOLD, Reason.CANARY_RUNNING, message, pod=canary.pod)
    return Decision(Action.HOLD, Reason.CANARY_RUNNING, message, evidence=_evidence(window, control), pod=canary.pod)


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
