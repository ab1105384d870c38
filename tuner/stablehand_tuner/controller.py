"""The whole tuner as one pure state machine: `step(policy, state, observations, now) -> (state, decisions)`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner import aggregation, change, memory, model, room, stability
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.policy import TUNABLE_CLASSES, Mode
from stablehand_tuner.reasons import Reason
from stablehand_tuner.state import Phase, TunerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observation import Observation
    from stablehand_tuner.policy import Policy
    from stablehand_tuner.settings import Settings

__all__ = ["TunerState", "step"]

QUIET_WINDOWS = 20  # so many windows with too few requests, and what they saw is too old to judge by


def step(
    policy: Policy, state: TunerState, observations: Mapping[str, Observation | None], now: float
) -> tuple[TunerState, tuple[Decision, ...]]:
    """Decide once; call it after every round of scrapes.

    Args:
        policy: what the user allows.
        state: what the last step returned, or what storage has of it.
        observations: by pod; None where a scrape is missing or unusable. Only pods that should serve.
        now: seconds on a clock that goes on over restarts (Unix time).

    Returns:
        The state, to be stored before anything is done about the decisions, and at least one decision. Decisions with
        `changes_settings` carry what every server should run from now on; carrying one out twice changes nothing.
    """
    notes: list[Decision] = []
    if state.note:
        message = f"the stored state could not be read and the tuner begins anew: {state.note}"
        notes.append(Decision(Action.HOLD, Reason.STATE_DISCARDED, message))
        state = dataclasses.replace(state, note="")
    state = _never_ahead_of(state, now, policy)
    if policy.mode is not Mode.AUTO:
        state = change.abandon(state)
    if policy.mode is Mode.OFF:
        state = dataclasses.replace(state, window=None, window_missing=0, verdict=None, shrink_since=None)
        decision = Decision(Action.HOLD, Reason.MODE_OFF, "the mode is Off: the settings stay as they are")
    elif state.phase is not Phase.WATCHING and state.target is not None and state.change is not None:
        state, decision = change.go_on(policy, state, observations, now, target=state.target, change=state.change)
    else:
        state, decision = _watch(policy, state, observations, now)
    return state, (*notes, decision)


def _never_ahead_of(state: TunerState, now: float, policy: Policy) -> TunerState:
    """Repair moments that lie in the future, as after a correction of the clock: they would stop the tuner for long."""
    latest = now + stability.wait_after(policy.windows, state.reversals)

    def at_most(moment: float | None, bound: float) -> float | None:
        return None if moment is None else min(moment, bound)

    return dataclasses.replace(
        state,
        since=at_most(state.since, now),
        warm_since=at_most(state.warm_since, now),
        shrink_since=at_most(state.shrink_since, now),
        next_change_at=at_most(state.next_change_at, latest),
    )


def _watch(
    policy: Policy, state: TunerState, observations: Mapping[str, Observation | None], now: float
) -> tuple[TunerState, Decision]:
    present = [each for each in observations.values() if each is not None]
    missing = len(observations) - len(present)
    if not present:
        if not observations:
            return state, _hold(Reason.NO_PODS, "the app has no pods to observe")
        state = dataclasses.replace(state, window_missing=state.window_missing + missing)
        message = f"no usable scrape of {missing} pods; missing data counts as busy, so nothing is changed"
        return state, _hold(Reason.DATA_MISSING, message)
    tick = aggregation.combine(present)
    state = dataclasses.replace(
        state,
        warm_since=now if state.warm_since is None else state.warm_since,
        warm_requests=state.warm_requests + tick.requests,
    )
    state, differs = _agree(state, tick)
    if differs is not None or state.settings is None:
        return state, differs or _hold(Reason.SETTINGS_DIFFER, "the pods do not yet say what they run")
    at_once = _at_once(policy, state, tick, now, current=state.settings)
    if at_once is None:
        return _collect(policy, state, tick, now, missing=missing, current=state.settings)
    return _act(policy, state, at_once, now, baseline=None)


def _collect(
    policy: Policy, state: TunerState, tick: Observation, now: float, *, missing: int, current: Settings
) -> tuple[TunerState, Decision]:
    """Add the scrape to the window, and decide when that is full."""
    window = state.window
    if tick.steady:
        window = tick if window is None else aggregation.merge(window, tick)
    state = dataclasses.replace(state, window=window, window_missing=state.window_missing + missing)
    if window is None:
        return state, _hold(Reason.COLLECTING, "the servers just changed their settings: collecting anew")
    return _decide(policy, state, tick, window, now, current=current)


def _agree(state: TunerState, tick: Observation) -> tuple[TunerState, Decision | None]:
    """Settle what the app runs; where the pods differ among themselves or from what they should run, wait."""
    active = tick.settings_active
    anew = dataclasses.replace(state, window=None, window_missing=0, verdict=None, shrink_since=None)
    if active is None or tick.settings_desired != active:
        wanted = tick.settings_desired or state.settings
        message = "not every server runs the settings that it should" + (f": {wanted}" if wanted else "")
        return anew, _hold(Reason.SETTINGS_DIFFER, message)
    if state.settings is None:
        return dataclasses.replace(state, settings=active), None
    if active != state.settings:
        message = f"somebody set {active} instead of {state.settings}: the tuner watches anew"
        return dataclasses.replace(anew, settings=active), _hold(Reason.SETTINGS_CHANGED_OUTSIDE, message)
    return state, None


def _at_once(policy: Policy, state: TunerState, tick: Observation, now: float, *, current: Settings) -> Decision | None:
    """Return what needs no window: a hold before there can be one, broken bounds, or memory that is exceeded."""
    if current.worker_class not in TUNABLE_CLASSES:
        known = ", ".join(each.value for each in TUNABLE_CLASSES)
        return _hold(Reason.CLASS_NOT_TUNED, f"the app runs {current}; the tuner tunes {known}")
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    decision = None
    if not policy.allows(current):
        settings = room.move_inside(policy, tick, current)
        message = f"{current} breaks the bounds or the classes of the policy: {settings} instead"
        decision = Decision(action, Reason.OUT_OF_BOUNDS, message, settings)
    elif (relief := memory.relieve_memory(policy, tick, current)) is not None:
        decision = Decision(action, relief.reason, relief.message, relief.settings, relief.evidence)
    if decision is not None:
        if decision.settings in state.refused:
            return _hold(Reason.REFUSED_BEFORE, f"{decision.message}, but a server refused exactly that before")
        return decision
    cold = stability.warming_up(policy.windows, state, now)
    return _hold(Reason.WARMING_UP, cold) if cold else None


def _decide(
    policy: Policy, state: TunerState, tick: Observation, window: Observation, now: float, *, current: Settings
) -> tuple[TunerState, Decision]:
    windows = policy.windows
    full = window.seconds >= stability.FULL_ENOUGH * windows.decision_seconds
    emergency = stability.is_emergency(windows, tick)
    if not full and not (emergency and window.requests >= stability.EMERGENCY_REQUESTS):
        collecting = f"observing: {window.seconds:.0f} of {windows.decision_seconds:.0f} s"
        return state, state.verdict or _hold(Reason.COLLECTING, collecting)
    if not emergency and window.requests < windows.minimum_requests:
        decision = _hold(
            Reason.TOO_FEW_REQUESTS,
            f"{window.requests:.0f} requests in {window.seconds:.0f} s are too few to judge by; "
            f"{windows.minimum_requests:.0f} are needed",
        )
        if window.seconds >= QUIET_WINDOWS * windows.decision_seconds:
            state = dataclasses.replace(state, window=None, window_missing=0)
        return dataclasses.replace(state, verdict=decision), decision
    if not window.requests:
        return state, _hold(Reason.TOO_FEW_REQUESTS, "connections wait, but no request was finished to judge by")
    proposal = model.propose(policy, window, current, state.banned.keys())
    judged = stability.judge(policy, state, proposal, window, now, current=current, emergency=emergency)
    if judged.settings is None:
        if not full:  # an emergency that calls for nothing: let the window fill
            return state, state.verdict or _hold(judged.reason, judged.message)
        decision = Decision(Action.HOLD, judged.reason, judged.message, evidence=proposal.evidence)
        state = dataclasses.replace(
            state,
            window=None,
            window_missing=0,
            verdict=decision,
            shrink_since=judged.shrink_since,
            shrink_slots=judged.shrink_slots,
        )
        return state, decision
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    decision = Decision(action, judged.reason, judged.message, judged.settings, proposal.evidence)
    return _act(policy, state, decision, now, baseline=window)


def _act(
    policy: Policy, state: TunerState, decision: Decision, now: float, *, baseline: Observation | None
) -> tuple[TunerState, Decision]:
    if decision.action is Action.HOLD:
        return state, decision
    if policy.mode is Mode.AUTO:
        return change.begin(state, decision, now, baseline=baseline)
    return dataclasses.replace(state, window=None, window_missing=0, verdict=decision), decision


def _hold(reason: Reason, message: str) -> Decision:
    return Decision(Action.HOLD, reason, message)
