"""The trial of a change on all pods, and what ran before it once more where the trial leaves a doubt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import trial
from stablehand_tuner.lifecycle import gate
from stablehand_tuner.lifecycle.ending import Transition, clear_window, elapsed, end, keep, roll_back, with_ban
from stablehand_tuner.lifecycle.retrial import COMPARED, Doubt
from stablehand_tuner.lifecycle.state import Phase, TunerState
from stablehand_tuner.observe import aggregation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.evidence.harm import Verdict
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy


def go_on(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Transition:
    """Watch a change that every server runs, and judge it when it has lasted its time or harms clearly."""
    outside = _changed_outside(state, observations, target)
    if outside is not None:
        return outside
    state = _seen(state, observations, target)
    windows = policy.windows
    if state.baseline is None or state.window is None or state.window.seconds < _enough(windows.trial_seconds):
        return _early(policy, state, now, target=target, change=change)
    outcome = trial.conclude(
        state.baseline,
        state.window,
        target,
        minimum=windows.minimum_requests,
        objective=policy.objective,
        must_gain=change.reason is Reason.EVENT_LOOP,
    )
    if outcome is None:
        message = (
            f"{target} is on trial until it has served {windows.minimum_requests:.0f} requests: "
            f"{state.window.requests:.0f} so far"
        )
        return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)
    if outcome.reason is Reason.TRIAL_UNCLEAR and state.doubt is not None:
        # it came back because the settings before did no better: once is enough
        outcome = dataclasses.replace(outcome, reason=Reason.TRIAL_PASSED)
    if not outcome.passed:
        return _against(policy, state, now, outcome, target=target, change=change)
    evidence = {
        "requests_per_second_before": round(state.baseline.requests_per_second, 3),
        "requests_per_second": round(state.window.requests_per_second, 3),
        "demand_before": round(state.baseline.demand, 2),
        "demand": round(state.window.demand, 2),
    }
    return keep(policy, state, now, outcome.message, target=target, evidence=evidence)


def again(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    before: Settings,
    doubt: Doubt,
) -> Transition:
    """Watch what ran before the change; bring the change back if this does no better."""
    outside = _changed_outside(state, observations, before)
    if outside is not None:
        return outside
    state = _seen(state, observations, before)
    windows, window, tried = policy.windows, state.window, doubt.change.settings
    if tried is None or elapsed(state, now) >= windows.trial_seconds + windows.apply_seconds:
        return _confirmed(state, doubt, "it could not be compared once more", before=before)
    if window is None or window.seconds < _enough(windows.trial_seconds) or window.requests < windows.minimum_requests:
        message = f"{before} runs again for {windows.trial_seconds:.0f} s, to be compared with what {tried} did"
        return state, Decision(Action.HOLD, Reason.TRIAL_AGAIN, message)
    response, was = _milliseconds(window), _milliseconds(doubt.tried)
    if doubt.confirmed(window):
        return _confirmed(state, doubt, f"{response} ms of response time instead of its {was} ms", before=before)
    message = (
        f"{before} does no better than {tried} did ({response} ms of response time against {was} ms): the load had "
        f"changed, not the settings' worth; {tried} comes back"
    )
    decision = Decision(Action.APPLY, Reason.LOAD_CHANGED, message, tried, doubt.change.evidence)
    state = clear_window(
        state,
        phase=Phase.APPLYING,
        since=now,
        target=tried,
        change=decision,
        baseline=window,
        changes=(*state.changes, now),
        reversals=max(0, state.reversals - 1),
    )
    return state, decision


def _against(
    policy: Policy, state: TunerState, now: float, outcome: Verdict, *, target: Settings, change: Decision
) -> Transition:
    """Roll a change back; with a doubt, if nothing but a comparison with another time speaks against it."""
    doubt = None
    if outcome.reason in COMPARED and state.doubt is None and state.window is not None and state.window.requests:
        doubt = Doubt(change, state.window, outcome.reason)
    return roll_back(policy, state, now, outcome.reason, outcome.message, target=target, doubt=doubt)


def _confirmed(state: TunerState, doubt: Doubt, message: str, *, before: Settings) -> Transition:
    tried = doubt.change.settings
    banned = state.banned if tried is None else with_ban(state, doubt.reason, target=tried, before=before)
    ended = dataclasses.replace(end(state, settings=before), banned=banned)
    return ended, Decision(Action.HOLD, Reason.TRIAL_CONFIRMED, f"{before} stays instead of {tried}: {message}")


def _early(policy: Policy, state: TunerState, now: float, *, target: Settings, change: Decision) -> Transition:
    """Go on with a trial that has not lasted its time, unless its harm is clear or nothing can be seen of it."""
    windows = policy.windows
    if elapsed(state, now) >= windows.trial_seconds + windows.apply_seconds:
        message = f"{state.window_missing} scrapes failed since {target} runs: whether it serves cannot be seen"
        return roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, message, target=target)
    if state.baseline is not None and state.window is not None:
        harm = trial.early_harm(state.baseline, state.window, target)
        if harm is not None:
            return _against(policy, state, now, harm, target=target, change=change)
    seen = 0.0 if state.window is None else state.window.seconds
    message = f"{target} is on trial: {seen:.0f} of {windows.trial_seconds:.0f} s; {change.message}"
    return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)


def _changed_outside(
    state: TunerState, observations: Mapping[str, Observation | None], target: Settings
) -> Transition | None:
    present = [each for each in observations.values() if each is not None]
    if not present or not all(each.steady and each.settings_desired not in {target, None} for each in present):
        return None
    message = f"somebody set {present[0].settings_desired} during the trial of {target}: the tuner watches anew"
    return end(state, settings=None), Decision(Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message)


def _seen(state: TunerState, observations: Mapping[str, Observation | None], target: Settings) -> TunerState:
    """Add the servers that ran the target all the time since their last scrape: only they speak of it."""
    proven = [each for each in observations.values() if each and each.steady and each.settings_active == target]
    missing = len(observations) - len(proven)
    if proven:
        tick = aggregation.combine(proven)
        window = tick if state.window is None else aggregation.merge(state.window, tick)
        state = dataclasses.replace(state, window=window)
    return dataclasses.replace(state, window_missing=state.window_missing + missing)


def _enough(seconds: float) -> float:
    return gate.FULL_ENOUGH * seconds


def _milliseconds(seen: Observation) -> str:
    return f"{1000 * (seen.response_seconds or 0.0):.0f}"
