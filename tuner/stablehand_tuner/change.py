"""The life of one change: begin → applying → trial → kept, or rolling back.

There is at most one change. Each function takes the state of its phase and returns the next one with its decision. A
decision to apply or to roll back is made again, the same, at each step until every server runs its settings: whoever
takes over in the middle finishes what was begun.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner import aggregation, stability, trial
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.reasons import Reason
from stablehand_tuner.state import MOST_REFUSED, Phase, TunerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observation import Observation
    from stablehand_tuner.policy import Policy
    from stablehand_tuner.settings import Settings

Outcome = tuple[TunerState, Decision]


def begin(state: TunerState, decision: Decision, now: float, *, baseline: Observation | None) -> Outcome:
    """Begin a change to the decision's settings; without a baseline it is not tried, but kept once it is active."""
    return _clear_window(
        state,
        phase=Phase.APPLYING,
        since=now,
        target=decision.settings,
        change=decision,
        baseline=baseline,
        shrink_since=None,
        shrink_slots=0,
    ), decision


def go_on(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Outcome:
    """Take the change under way one step further."""
    if not observations:
        # nobody is there to run the settings, so time does not count; pods to come start with them
        return dataclasses.replace(state, since=now), change
    if state.phase is Phase.TRIAL:
        return _trial(policy, state, observations, now, target=target, change=change)
    if all(each is not None and each.settings_active == target for each in observations.values()):
        return _all_active(policy, state, now, target=target, change=change)
    return _applying(policy, state, observations, now, target=target, change=change)


def abandon(state: TunerState) -> TunerState:
    """End the change under way where it is: what it was leading to is what the app should run."""
    if state.phase is Phase.WATCHING:
        return state
    return _end(state, settings=state.desired)


def _applying(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Outcome:
    """Wait for every server, and ask again; one that refuses, or does not come, ends the change."""
    others = [each for each in observations.values() if each is None or each.settings_active != target]
    refused = [each for each in others if each is not None and (each.switches_rejected or each.switches_rolled_back)]
    if state.phase is Phase.APPLYING and refused:
        message = f"{len(refused)} of {len(observations)} servers refused {target}, or rolled it back; see their logs"
        return _roll_back(policy, state, now, Reason.SERVER_REFUSED, message, target=target)
    elapsed = _elapsed(state, now)
    if elapsed < policy.windows.apply_seconds:
        return state, change
    late = f"after {elapsed:.0f} s {len(others)} of {len(observations)} servers do not run {target}"
    if state.phase is Phase.APPLYING:
        return _roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, late, target=target)
    return _end(state, settings=target), Decision(
        Action.HOLD, Reason.APPLY_TIMED_OUT, f"{late}; the tuner waits until all do"
    )


def _all_active(policy: Policy, state: TunerState, now: float, *, target: Settings, change: Decision) -> Outcome:
    if state.phase is Phase.ROLLING_BACK:
        return _end(state, settings=target), Decision(
            Action.HOLD, Reason.COOLING_DOWN, f"{target} runs again: {change.message}", evidence=change.evidence
        )
    if state.baseline is None:
        return _keep(policy, state, now, f"every server runs {target}", target=target, evidence={})
    return _clear_window(state, phase=Phase.TRIAL, since=now), Decision(
        Action.HOLD, Reason.TRIAL_RUNNING, f"{target} is on trial for {policy.windows.trial_seconds:.0f} s"
    )


def _trial(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Outcome:
    present = [each for each in observations.values() if each is not None]
    windows = policy.windows
    if present and all(each.steady and each.settings_desired not in {target, None} for each in present):
        outside = Decision(
            Action.HOLD,
            Reason.SETTINGS_CHANGED_OUTSIDE,
            f"somebody set {present[0].settings_desired} during the trial of {target}: the tuner watches anew",
        )
        return _end(state, settings=None), outside
    # only servers that ran the target all the time since their last scrape speak of it
    proven = [each for each in present if each.steady and each.settings_active == target]
    missing = len(observations) - len(proven)
    if proven:
        tick = aggregation.combine(proven)
        window = tick if state.window is None else aggregation.merge(state.window, tick)
        state = dataclasses.replace(state, window=window)
    state = dataclasses.replace(state, window_missing=state.window_missing + missing)
    if state.baseline is None or state.window is None or state.window.seconds < _enough(windows.trial_seconds):
        return _early(policy, state, now, target=target, change=change)
    outcome = trial.conclude(state.baseline, state.window, target, minimum=windows.minimum_requests)
    if outcome is None:
        message = (
            f"{target} is on trial until it has served {windows.minimum_requests:.0f} requests: "
            f"{state.window.requests:.0f} so far"
        )
        return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)
    if not outcome.passed:
        return _roll_back(policy, state, now, outcome.reason, outcome.message, target=target)
    evidence = {
        "requests_per_second_before": round(state.baseline.requests_per_second, 3),
        "requests_per_second": round(state.window.requests_per_second, 3),
        "demand_before": round(state.baseline.demand, 2),
        "demand": round(state.window.demand, 2),
    }
    return _keep(policy, state, now, outcome.message, target=target, evidence=evidence)


def _early(policy: Policy, state: TunerState, now: float, *, target: Settings, change: Decision) -> Outcome:
    """Go on with a trial that has not lasted its time, unless its harm is clear or nothing can be seen of it."""
    windows = policy.windows
    if _elapsed(state, now) >= windows.trial_seconds + windows.apply_seconds:
        message = f"{state.window_missing} scrapes failed since {target} runs: whether it serves cannot be seen"
        return _roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, message, target=target)
    if state.baseline is not None and state.window is not None:
        harm = trial.early_harm(state.baseline, state.window, target)
        if harm is not None:
            return _roll_back(policy, state, now, harm.reason, harm.message, target=target)
    seen = 0.0 if state.window is None else state.window.seconds
    message = f"{target} is on trial: {seen:.0f} of {windows.trial_seconds:.0f} s; {change.message}"
    return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)


def _keep(
    policy: Policy, state: TunerState, now: float, message: str, *, target: Settings, evidence: Mapping[str, float]
) -> Outcome:
    current = target if state.settings is None else state.settings
    towards = stability.direction(target, current)
    reversed_now = towards * state.direction < 0
    reversals = state.reversals + 1 if reversed_now else max(0, state.reversals - 1)
    kept = dataclasses.replace(
        _end(state, settings=target),
        reversals=reversals,
        direction=towards or state.direction,
        next_change_at=now + stability.wait_after(policy.windows, reversals),
    )
    return kept, Decision(Action.KEEP, Reason.TRIAL_PASSED, f"{target} stays: {message}", target, evidence)


def _roll_back(
    policy: Policy, state: TunerState, now: float, reason: Reason, message: str, *, target: Settings
) -> Outcome:
    """Go back to what ran before; a class that failed is not tried again for this image.

    One that only gained nothing is: the machine's neighbours may have had their part in that.
    """
    before = target if state.settings is None else state.settings
    banned = dict(state.banned)
    if target.worker_class is not before.worker_class and reason is not Reason.TRIAL_NO_GAIN:
        banned[target.worker_class] = reason
    refused = state.refused
    if reason in {Reason.SERVER_REFUSED, Reason.APPLY_TIMED_OUT}:
        refused = (*(each for each in refused if each != target), target)[-MOST_REFUSED:]
    reversals = state.reversals + 1
    decision = Decision(Action.ROLL_BACK, reason, f"{message}: back to {before}", before)
    state = _clear_window(
        state,
        phase=Phase.ROLLING_BACK,
        since=now,
        target=before,
        change=decision,
        baseline=None,
        banned=banned,
        refused=refused,
        reversals=reversals,
        next_change_at=now + stability.wait_after(policy.windows, reversals),
    )
    return state, decision


def _end(state: TunerState, *, settings: Settings | None) -> TunerState:
    return _clear_window(
        state, phase=Phase.WATCHING, since=None, settings=settings, target=None, change=None, baseline=None
    )


def _clear_window(state: TunerState, **changes: object) -> TunerState:
    cleared: dict[str, object] = {"window": None, "window_missing": 0, "verdict": None, **changes}
    return dataclasses.replace(state, **cleared)  # type: ignore[arg-type]  # the names are those of the fields


def _elapsed(state: TunerState, now: float) -> float:
    return now - (now if state.since is None else state.since)


def _enough(seconds: float) -> float:
    return stability.FULL_ENOUGH * seconds
