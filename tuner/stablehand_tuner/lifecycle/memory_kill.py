"""A whole server that the kernel killed for want of memory: nobody was left to count it, and it may be killed again.

Where one process that exceeds the memory takes all others along, no metric ever shows it, and while the server starts
again and again there are no scrapes at all. So whoever learns of it by other means tells the tuner, which acts without
waiting for an observation.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle.applying import begin
from stablehand_tuner.lifecycle.ending import end, roll_back
from stablehand_tuner.lifecycle.state import CANARY_PHASES, EMPTY_WINDOW, Phase, TunerState
from stablehand_tuner.model.compose import compose
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.policy import Policy


def react(
    policy: Policy, state: TunerState, killed: Mapping[str, Settings], now: float
) -> tuple[TunerState, Decision | None]:
    """Hold the kill of whole servers against the settings that they ran.

    A change on trial is rolled back. What is to stay, or was meant to relieve the memory, shrinks to half.

    Args:
        policy: what the user allows.
        state: the tuner's.
        killed: by pod, the settings that its server ran when it was killed.
        now: seconds on a clock that goes on over restarts (Unix time).

    Returns:
        The state, and a decision where something is to be done.
    """
    target = state.target
    if target is not None and state.phase in _TRIED and state.baseline is not None:
        blamed = [pod for pod, ran in killed.items() if _ran_the_change(state, pod, ran)]
        if blamed:
            message = f"the kernel killed the server of {', '.join(blamed)} for its memory with {target}"
            return roll_back(policy, state, now, Reason.TRIAL_MEMORY, message, target=target)
    for ran in killed.values():
        state = state.with_ceiling(ran.slots)
    if target is not None and state.phase in CANARY_PHASES:
        message = f"the canary cannot wait: the kernel killed the server of {', '.join(killed)} for its memory"
        return roll_back(policy, state, now, Reason.MEMORY, message, target=target)
    current = state.desired
    if current is None or current not in killed.values() or current.worker_class not in policy.worker_classes:
        return state, None
    smaller = _half(policy, current)
    if smaller.slots >= current.slots or smaller in state.refused or not policy.allows(smaller):
        return state, None
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    message = f"the kernel killed the whole server for its memory with {current}: {smaller} instead"
    decision = Decision(action, Reason.MEMORY, message, smaller)
    if action is Action.RECOMMEND:
        return dataclasses.replace(state, verdict=decision, **EMPTY_WINDOW), decision
    return begin(end(state, settings=current), decision, now, baseline=None)


_TRIED = CANARY_PHASES | {Phase.APPLYING, Phase.TRIAL}


def _ran_the_change(state: TunerState, pod: str, ran: Settings) -> bool:
    """Tell whether a server ran the change under way, or was on its way there."""
    if state.phase in CANARY_PHASES:
        return state.canary is not None and state.canary.pod == pod
    return ran == state.target or state.phase is Phase.APPLYING


def _half(policy: Policy, current: Settings) -> Settings:
    """Return settings with half of the processes; with half of each one's slots where there is only one."""
    workers, each = current.workers, current.slots_per_worker
    if workers > max(policy.workers_lowest, 1):
        workers = max(policy.workers_lowest, 1, workers // 2)
    else:
        each = max(1, each // 2)
    return compose(policy, current.worker_class, workers, each)
