"""The life of one change: begin → (canary →) applying → trial → kept, or rolling back (→ again).

There is at most one change. Each function takes the state of its phase and returns the next one with its decision. A
decision to apply or to roll back is made again, the same, at each step until every server runs its settings: whoever
takes over in the middle finishes what was begun.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle import canary_phase, trial_phase
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.ending import Transition, clear_window, elapsed, end, keep, roll_back
from stablehand_tuner.lifecycle.state import CANARY_PHASES, Phase, TunerState
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

HOUR = 3600.0


def begin(
    state: TunerState, decision: Decision, now: float, *, baseline: Observation | None, pod: str | None = None
) -> Transition:
    """Begin a change to the decision's settings: on the one pod, if one is named, else on all.

    Without a baseline it is not tried, but kept once it is active.
    """
    if decision.settings is None:
        raise ValueError("a change needs settings to change to")
    canary = None
    phase = Phase.APPLYING
    if pod is not None:
        canary = Canary(pod, decision.settings, Comparison.against(baseline))
        phase = Phase.CANARY_APPLYING
        message = f"{decision.message}; {pod} tries it first"
        decision = dataclasses.replace(decision, action=Action.CANARY, message=message, pod=pod)
    return clear_window(
        state,
        phase=phase,
        since=now,
        target=decision.settings,
        change=decision,
        canary=canary,
        baseline=baseline,
        changes=(*recent(state, now), now),
        shrink_since=None,
        shrink_slots=0,
        shrink_workers=0,
    ), decision


def recent(state: TunerState, now: float) -> tuple[float, ...]:
    """Return when the changes of the last hour began."""
    return tuple(each for each in state.changes if each > now - HOUR)


def go_on(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Transition:
    """Take the change under way one step further."""
    if not observations:
        # nobody is there to run the settings, so time does not count; pods to come start with them
        return dataclasses.replace(state, since=now), change
    if state.phase in CANARY_PHASES and state.canary is not None:
        return canary_phase.go_on(policy, state, observations, now, canary=state.canary, change=change)
    if state.phase is Phase.TRIAL:
        return trial_phase.go_on(policy, state, observations, now, target=target, change=change)
    if state.phase is Phase.AGAIN and state.doubt is not None:
        return trial_phase.again(policy, state, observations, now, before=target, doubt=state.doubt)
    if all(each is not None and each.settings_active == target for each in observations.values()):
        return _all_active(policy, state, now, target=target, change=change)
    return _applying(policy, state, observations, now, target=target, change=change)


def abandon(state: TunerState) -> TunerState:
    """End the change under way where it is: what it was leading to is what the app should run, a canary aside."""
    if state.phase is Phase.WATCHING:
        return state
    return end(state, settings=state.desired)


def _applying(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    target: Settings,
    change: Decision,
) -> Transition:
    """Wait for every server, and ask again; one that refuses, or does not come, ends the change."""
    others = [each for each in observations.values() if each is None or each.settings_active != target]
    refused = [each for each in others if each is not None and (each.switches_rejected or each.switches_rolled_back)]
    if state.phase is Phase.APPLYING and refused:
        message = f"{len(refused)} of {len(observations)} servers refused {target}, or rolled it back; see their logs"
        return roll_back(policy, state, now, Reason.SERVER_REFUSED, message, target=target)
    seconds = elapsed(state, now)
    if seconds < policy.windows.apply_seconds:
        return state, change
    late = f"after {seconds:.0f} s {len(others)} of {len(observations)} servers do not run {target}"
    if state.phase is Phase.APPLYING:
        return roll_back(policy, state, now, Reason.APPLY_TIMED_OUT, late, target=target)
    return end(state, settings=target), Decision(
        Action.HOLD, Reason.APPLY_TIMED_OUT, f"{late}; the tuner waits until all do"
    )


def _all_active(policy: Policy, state: TunerState, now: float, *, target: Settings, change: Decision) -> Transition:
    if state.phase is Phase.ROLLING_BACK:
        if state.doubt is not None:
            return clear_window(state, phase=Phase.AGAIN, since=now), Decision(
                Action.HOLD,
                Reason.TRIAL_AGAIN,
                f"{target} runs again, to see whether it does better than {state.doubt.change.settings} did",
            )
        return end(state, settings=target), Decision(
            Action.HOLD, Reason.COOLING_DOWN, f"{target} runs again: {change.message}", evidence=change.evidence
        )
    if state.baseline is None:
        return keep(policy, state, now, f"every server runs {target}", target=target, evidence={})
    # every pod runs it by now, from what all of them are given: the canary needs nothing of its own any more
    return clear_window(state, phase=Phase.TRIAL, since=now, canary=None), Decision(
        Action.HOLD, Reason.TRIAL_RUNNING, f"{target} is on trial for {policy.windows.trial_seconds:.0f} s"
    )
