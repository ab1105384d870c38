"""The trial of a change on all pods, and the recheck of what ran before it where the trial leaves a doubt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import trial as comparison
from stablehand_tuner.lifecycle import gate, seeing
from stablehand_tuner.lifecycle.doubt import COMPARED, Doubt
from stablehand_tuner.lifecycle.ending import MUST_GAIN, Transition, keep, roll_back, watch_again, with_ban, with_try
from stablehand_tuner.lifecycle.learning import with_ceiling
from stablehand_tuner.lifecycle.phases import Applying, Change
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.evidence.harm import Verdict
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.phases import Recheck, Trial
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation


def advance_trial(inputs: Inputs, state: TunerState, trial: Trial) -> Transition:
    """Observe a change that every server runs; judge it when its time is over, or as soon as it clearly does harm."""
    change, target, windows = trial.change, trial.change.target, inputs.policy.windows
    outside = _changed_outside(inputs, state, target)
    if outside is not None:
        return outside
    trial = dataclasses.replace(trial, window=seeing.observed(inputs, trial.window, target, since=trial.since))
    state = dataclasses.replace(state, phase=trial)
    observed = trial.window.observed
    if observed is None or observed.seconds < _enough(windows.trial_seconds):
        return _judge_early(inputs, state, trial)
    verdict = comparison.conclude(
        trial.baseline,
        observed,
        target,
        minimum=windows.minimum_requests,
        objective=inputs.policy.objective,
        must_gain=change.decision.reason in MUST_GAIN,
    )
    if verdict is None:
        message = (
            f"{target} is on trial until it has served {windows.minimum_requests:.0f} requests: "
            f"{observed.requests:.0f} so far"
        )
        return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)
    if verdict.reason is Reason.TRIAL_UNCLEAR and trial.is_second_try:
        # it was applied again because the settings before did no better: once is enough
        verdict = dataclasses.replace(verdict, reason=Reason.TRIAL_PASSED)
    if not verdict.passed:
        return _roll_back(inputs, state, trial, verdict)
    evidence = {
        "requests_per_second_before": round(trial.baseline.requests_per_second, 3),
        "requests_per_second": round(observed.requests_per_second, 3),
        "demand_before": round(trial.baseline.demand, 2),
        "demand": round(observed.demand, 2),
    }
    return keep(inputs, state, trial, verdict.message, evidence=evidence)


def advance_recheck(inputs: Inputs, state: TunerState, recheck: Recheck) -> Transition:
    """Observe what ran before the change; apply the change a second time if this does no better."""
    before, doubt, windows = recheck.settings, recheck.doubt, inputs.policy.windows
    outside = _changed_outside(inputs, state, before)
    if outside is not None:
        return outside
    recheck = dataclasses.replace(recheck, window=seeing.observed(inputs, recheck.window, before, since=recheck.since))
    state = dataclasses.replace(state, phase=recheck)
    observed = recheck.window.observed
    if inputs.now - recheck.since >= windows.trial_seconds + windows.apply_seconds:
        return _confirmed(state, recheck, "it could not be observed again to compare", inputs.now)
    if (
        observed is None
        or observed.seconds < _enough(windows.trial_seconds)
        or observed.requests < windows.minimum_requests
    ):
        message = f"{before} runs again for {windows.trial_seconds:.0f} s, to be compared with what {doubt.target} did"
        return state, Decision(Action.HOLD, Reason.TRIAL_AGAIN, message)
    response, was = _milliseconds(observed), _milliseconds(doubt.observed)
    if doubt.confirmed(observed):
        return _confirmed(state, recheck, f"{response} ms of response time instead of its {was} ms", inputs.now)
    message = (
        f"{before} does no better than {doubt.target} did ({response} ms of response time against {was} ms): the load "
        f"had changed; {doubt.target} is applied again"
    )
    decision = Decision(Action.APPLY, Reason.LOAD_CHANGED, message, doubt.target, doubt.evidence)
    second_try = Applying(inputs.now, Change(before, doubt.target, decision), observed, is_second_try=True)
    history = state.history.with_change(inputs.now)
    history = dataclasses.replace(history, reversals=max(0, history.reversals - 1))
    return dataclasses.replace(state, phase=second_try, history=history), decision


def _roll_back(inputs: Inputs, state: TunerState, trial: Trial, verdict: Verdict) -> Transition:
    """Roll a change back; with a doubt, if only the comparison with another time speaks against it."""
    observed, doubt = trial.window.observed, None
    if verdict.reason in COMPARED and not trial.is_second_try and observed is not None and observed.requests:
        doubt = Doubt(trial.change.target, trial.change.decision.evidence, observed, verdict.reason)
    return roll_back(inputs, state, trial, verdict.reason, verdict.message, doubt=doubt)


def _confirmed(state: TunerState, recheck: Recheck, message: str, now: float) -> Transition:
    before, doubt = recheck.settings, recheck.doubt
    known = with_ban(state.known, doubt.reason, target=doubt.target, before=before)
    seen = recheck.window.observed
    known = with_try(known, doubt.reason, target=doubt.target, before=before, seen=seen, now=now)
    if seen is not None:
        known = with_ceiling(known, doubt.reason, good=before, bad=doubt.target, seen=seen, now=now)
    ended = dataclasses.replace(watch_again(state, before), known=known)
    return ended, Decision(Action.HOLD, Reason.TRIAL_CONFIRMED, f"{before} stays instead of {doubt.target}: {message}")


def _judge_early(inputs: Inputs, state: TunerState, trial: Trial) -> Transition:
    """Continue a trial whose time is not over, unless its harm is clear or it cannot be observed."""
    windows, target = inputs.policy.windows, trial.change.target
    if inputs.now - trial.since >= windows.trial_seconds + windows.apply_seconds:
        message = f"{trial.window.missing} scrapes failed since {target} was applied: how it serves is unknown"
        return roll_back(inputs, state, trial, Reason.APPLY_TIMED_OUT, message)
    if trial.window.observed is not None:
        harm = comparison.early_harm(trial.baseline, trial.window.observed, target)
        if harm is not None:
            return _roll_back(inputs, state, trial, harm)
    message = (
        f"{target} is on trial: {trial.window.seconds:.0f} of {windows.trial_seconds:.0f} s; "
        f"{trial.change.decision.message}"
    )
    return state, Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)


def _changed_outside(inputs: Inputs, state: TunerState, settings: Settings) -> Transition | None:
    """End the phase if the settings of every pod that can be observed were changed from outside."""
    theirs = seeing.set_from_outside(inputs, settings)
    if theirs is None:
        return None
    message = f"{theirs} was set from outside during the trial of {settings}: observing again"
    return watch_again(state, None), Decision(Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message)


def _enough(seconds: float) -> float:
    return gate.FULL_ENOUGH * seconds


def _milliseconds(seen: Observation) -> str:
    return f"{1000 * (seen.response_seconds or 0.0):.0f}"
