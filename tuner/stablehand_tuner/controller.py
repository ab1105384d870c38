"""The whole tuner as one pure state machine: `step(policy, state, observations, now) -> (state, decisions)`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import applying, gate, memory_kill, watching
from stablehand_tuner.lifecycle.state import EMPTY_WINDOW, Phase, TunerState
from stablehand_tuner.observe import plausibility
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

__all__ = ["TunerState", "step"]


def step(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    canaries: bool = False,
    killed: Mapping[str, Settings] | None = None,
) -> tuple[TunerState, tuple[Decision, ...]]:
    """Decide once; call it after every round of scrapes.

    Args:
        policy: what the user allows.
        state: what the last step returned, or what storage has of it.
        observations: by pod; None where a scrape is missing or unusable. Only pods that should serve.
        now: seconds on a clock that goes on over restarts (Unix time).
        canaries: whether the caller can give one pod settings of its own, as `TunerState.canary` says. Then a change is
            tried on one pod first, where there are several. Without it no canary begins; one under way is withdrawn.
        killed: by pod, the settings of servers that the kernel killed as a whole for want of memory since the last
            step, as no scrape can tell. Each kill is told once.

    Returns:
        The state, to be stored before anything is done about the decisions, and at least one decision. Decisions with
        `changes_settings` carry what every server should run from now on; carrying one out twice changes nothing.
    """
    notes: list[Decision] = []
    if state.note:
        message = f"the stored state could not be read and the tuner starts afresh: {state.note}"
        notes.append(Decision(Action.HOLD, Reason.STATE_DISCARDED, message))
        state = dataclasses.replace(state, note="")
    state = _never_ahead_of(state, now, policy)
    observations, lie = plausibility.sift(observations)
    if policy.mode is not Mode.AUTO or policy.frozen or (state.canary is not None and not canaries):
        state = applying.abandon(state)
    if killed and policy.mode is not Mode.OFF and not policy.frozen:
        state, consequence = memory_kill.react(policy, state, killed, now)
        if consequence is not None:
            return state, (*notes, consequence)
    if policy.mode is Mode.OFF:
        state = _at_rest(state)
        decision = Decision(Action.HOLD, Reason.MODE_OFF, "the mode is Off: the settings stay as they are")
    elif policy.frozen:
        state = _at_rest(state)
        decision = Decision(Action.HOLD, Reason.FROZEN, "the tuner is frozen: the settings stay as they are")
    elif state.phase is not Phase.WATCHING and state.target is not None and state.change is not None:
        state, decision = applying.go_on(policy, state, observations, now, target=state.target, change=state.change)
    else:
        state, decision = watching.watch(policy, state, observations, now, canaries=canaries)
        if lie and decision.reason is Reason.DATA_MISSING:
            decision = dataclasses.replace(decision, message=f"{decision.message}; {lie}, which cannot be")
    return state, (*notes, decision)


def _at_rest(state: TunerState) -> TunerState:
    return dataclasses.replace(state, verdict=None, shrink_since=None, **EMPTY_WINDOW)


def _never_ahead_of(state: TunerState, now: float, policy: Policy) -> TunerState:
    """Repair moments that lie in the future, as after a correction of the clock: they would stop the tuner for long."""
    latest = now + gate.wait_after(policy.windows, state.reversals)

    def at_most(moment: float | None, bound: float) -> float | None:
        return None if moment is None else min(moment, bound)

    return dataclasses.replace(
        state,
        since=at_most(state.since, now),
        warm_since=at_most(state.warm_since, now),
        shrink_since=at_most(state.shrink_since, now),
        next_change_at=at_most(state.next_change_at, latest),
        changes=tuple(min(each, now) for each in state.changes),
    )
