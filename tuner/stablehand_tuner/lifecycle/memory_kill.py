"""The kernel killed a whole server for want of memory: no process was left to count it, and it may happen again.

Where one process that exceeds the memory takes all others along, no metric ever shows it, and while the server starts
again and again there are no scrapes at all. So the caller reports such kills apart from observations, and the tuner
acts on them without waiting for any.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.applying import begin
from stablehand_tuner.lifecycle.ending import roll_back
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Climbing,
    Trial,
    Watching,
    WorkerTrial,
)
from stablehand_tuner.lifecycle.window import Window
from stablehand_tuner.model.compose import compose
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.phases import Phase
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.policy import Policy


def react(inputs: Inputs, state: TunerState, killed: Mapping[str, Settings]) -> tuple[TunerState, Decision | None]:
    """Count the kill of whole servers against the settings that they ran.

    A change on trial is rolled back. Settings that were kept, or that were to relieve the memory, shrink to half.

    Args:
        inputs: the step's.
        state: the tuner's.
        killed: by pod, the settings that its server ran when it was killed.

    Returns:
        The state, and a decision where something is to be done.
    """
    phase = state.phase
    attempt = WorkerTrial | CanaryApplying | CanaryRunning | Applying | Climbing | Trial
    if isinstance(phase, attempt) and phase.baseline is not None:
        blamed = [pod for pod, ran in killed.items() if _ran_the_change(phase, pod, ran)]
        if blamed:
            pods = ", ".join(blamed)
            message = f"the kernel killed the server of {pods} for its memory with {phase.change.target}"
            return roll_back(inputs, state, phase, Reason.TRIAL_MEMORY, message)
    for ran in killed.values():
        state = dataclasses.replace(state, known=state.known.with_ceiling(ran.slots))
    if isinstance(phase, WorkerTrial | CanaryApplying | CanaryRunning):
        message = f"the canary cannot wait: the kernel killed the server of {', '.join(killed)} for its memory"
        return roll_back(inputs, state, phase, Reason.MEMORY, message)
    return _shrink(inputs, state, killed)


def _ran_the_change(phase: Phase, pod: str, ran: Settings) -> bool:
    """Tell whether a server ran the change under way, or was on its way there."""
    if isinstance(phase, WorkerTrial | CanaryApplying | CanaryRunning):
        return phase.pod == pod
    if isinstance(phase, Climbing):
        return ran.slots > phase.change.before.slots or ran == phase.desired
    return isinstance(phase, Applying) or ran == phase.desired


def _shrink(inputs: Inputs, state: TunerState, killed: Mapping[str, Settings]) -> tuple[TunerState, Decision | None]:
    policy, current = inputs.policy, state.desired
    if current is None or current not in killed.values() or current.worker_class not in policy.worker_classes:
        return state, None
    smaller = _half(policy, current)
    if smaller.slots >= current.slots or smaller in state.known.refused or not policy.allows(smaller):
        return state, None
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    message = f"the kernel killed the whole server for its memory with {current}: {smaller} instead"
    decision = Decision(action, Reason.MEMORY, message, smaller)
    if action is Action.APPLY:
        return begin(state, decision, inputs.now, before=current, baseline=None)
    if isinstance(state.phase, Watching):  # what only advises has no change under way
        phase = dataclasses.replace(state.phase, standing=decision, window=Window())
        state = dataclasses.replace(state, phase=phase)
    return state, decision


def _half(policy: Policy, current: Settings) -> Settings:
    """Return settings with half of the processes; with half of each one's slots where there is only one."""
    workers, slots_each = current.workers, current.slots_per_worker
    if workers > max(policy.workers_lowest, 1):
        workers = max(policy.workers_lowest, 1, workers // 2)
    else:
        slots_each = max(1, slots_each // 2)
    return compose(policy, current.worker_class, workers, slots_each)
