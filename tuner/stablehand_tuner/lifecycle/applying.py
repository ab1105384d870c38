"""Beginning a change, and waiting until every server runs its settings, or again those before it.

A decision to apply or to roll back is repeated at each step until every server runs its settings: so whoever takes over
in the middle completes the change.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import seeing
from stablehand_tuner.lifecycle.climb import Climb
from stablehand_tuner.lifecycle.ending import Transition, keep, roll_back, watch_again
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    Change,
    Climbing,
    Recheck,
    RollingBack,
    Trial,
)
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation


def begin(
    state: TunerState,
    decision: Decision,
    now: float,
    *,
    before: Settings,
    baseline: Observation | None,
    pod: str | None = None,
    aim: Decision | None = None,
    counted: bool = False,
) -> Transition:
    """Begin a change to the decision's settings: on the one pod, if one is named, else on all.

    Args:
        state: the tuner's.
        decision: it has settings to change to.
        now: Unix seconds.
        before: what every pod runs now.
        baseline: what the change is compared with; without it the change is kept, untried, once it is active.
        pod: the canary; it needs a baseline.
        aim: the decision for the settings that all pods climb to afterwards, if this is only the first step there; it
            needs a baseline as well.
        counted: whether the change was counted already, when one worker began to try it.

    Raises:
        ValueError: when the decision has no settings.
    """
    target = decision.settings
    if target is None:
        raise ValueError("a change needs settings to change to")
    history = state.history if counted else state.history.with_change(now)
    if pod is None and baseline is not None and aim is not None:
        climb = Climb.begin(aim, before, baseline)
        climbing = Climbing(now, Change(before, target, decision), baseline, climb, ran=before)
        return dataclasses.replace(state, phase=climbing, history=history), decision
    if pod is None or baseline is None:
        applying = Applying(now, Change(before, target, decision), baseline)
        return dataclasses.replace(state, phase=applying, history=history), decision
    message = f"{decision.message}; {pod} tries it first"
    decision = dataclasses.replace(decision, action=Action.CANARY, message=message, pod=pod)
    canary = CanaryApplying(now, Change(before, target, decision), pod, baseline, aim)
    return dataclasses.replace(state, phase=canary, history=history), decision


def wait_for_servers(inputs: Inputs, state: TunerState, phase: Applying) -> Transition:
    """Put the change on trial once every server runs it; a server that refuses it, or takes too long, ends it."""
    change, target = phase.change, phase.change.target
    others = seeing.not_running(inputs, target)
    if not others:
        if phase.baseline is None:
            return keep(inputs, state, phase, f"every server runs {target}", evidence={})
        # every pod runs it by now from the common settings: the canary needs none of its own any more
        trial = Trial(inputs.now, change, phase.baseline, is_second_try=phase.is_second_try)
        message = f"{target} is on trial for {inputs.policy.windows.trial_seconds:.0f} s"
        return dataclasses.replace(state, phase=trial), Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)
    refused = seeing.refusals(others)
    if refused:
        message = f"{refused} of {len(inputs.observations)} servers refused {target}, or rolled it back; see their logs"
        return roll_back(inputs, state, phase, Reason.SERVER_REFUSED, message)
    too_late = late(inputs, phase, target, others)
    return roll_back(inputs, state, phase, Reason.APPLY_TIMED_OUT, too_late) if too_late else (state, change.decision)


def wait_for_rollback(inputs: Inputs, state: TunerState, phase: RollingBack) -> Transition:
    """End a roll-back once every server runs what ran before, or recheck that if there is a doubt."""
    settings, decision, doubt = phase.settings, phase.decision, phase.doubt
    others = seeing.not_running(inputs, settings)
    if not others and doubt is not None:
        recheck = dataclasses.replace(state, phase=Recheck(inputs.now, settings, decision, doubt))
        message = f"{settings} runs again, to see whether it does better than {doubt.target} did"
        return recheck, Decision(Action.HOLD, Reason.TRIAL_AGAIN, message)
    if not others:
        message = f"{settings} runs again: {decision.message}"
        ended = Decision(Action.HOLD, Reason.COOLING_DOWN, message, evidence=decision.evidence)
        return watch_again(state, settings), ended
    too_late = late(inputs, phase, settings, others)
    if not too_late:
        return state, decision
    message = f"{too_late}; the tuner waits until all do"
    return watch_again(state, settings), Decision(Action.HOLD, Reason.APPLY_TIMED_OUT, message)


def late(
    inputs: Inputs, phase: Applying | Climbing | RollingBack, settings: Settings, others: list[Observation | None]
) -> str:
    """Return a sentence if the servers have had time enough to run the settings, else nothing."""
    seconds = inputs.now - phase.since
    if seconds < inputs.policy.windows.apply_seconds:
        return ""
    return f"after {seconds:.0f} s {len(others)} of {len(inputs.observations)} servers do not run {settings}"
