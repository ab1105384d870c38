"""The whole tuner as one pure state machine: `step(policy, state, observations, now) -> (state, decisions)`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import (
    applying,
    canary_phase,
    climbing,
    ending,
    gate,
    guarding,
    memory_kill,
    trial_phase,
    watching,
    worker_trial,
)
from stablehand_tuner.lifecycle.inputs import Inputs
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Climbing,
    Recheck,
    RollingBack,
    Trial,
    Watching,
    WorkerTrial,
)
from stablehand_tuner.lifecycle.sharing import expect_pods
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.observe import plausibility
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.trial_seen import TrialSeen
    from stablehand_tuner.policy import Policy

__all__ = ["TunerState", "expect_pods", "step"]


def step(
    policy: Policy,
    state: TunerState,
    observations: Mapping[str, Observation | None],
    now: float,
    *,
    canaries: bool = False,
    killed: Mapping[str, Settings] | None = None,
    trials: Mapping[str, TrialSeen] | None = None,
    pods: int = 0,
) -> tuple[TunerState, tuple[Decision, ...]]:
    """Decide once; call it after every round of scrapes.

    Args:
        policy: what the user allows.
        state: what the last step returned, or what was stored of it.
        observations: by pod; None where a scrape is missing or unusable. Only pods that should serve.
        now: Unix time, seconds.
        canaries: whether the caller can give one pod settings of its own, as in `TunerState.canary`. Then a change is
            tried on one pod first, where there are several. Without it no canary begins; one under way is withdrawn.
        killed: by pod, the settings of servers that the kernel killed as a whole for want of memory since the last
            step, which no scrape shows. Each kill is reported once.
        trials: by pod, what servers that know trials on one worker report of them; None where the caller cannot give a
            server `TunerState.trial`. Then what may break an app is tried on a whole pod at once.
        pods: how many pods there are or will be, where those observed are not all: what all of them share has to do for
            so many.

    Returns:
        The state, to be stored before the decisions are carried out, and at least one decision. Decisions with
        `changes_settings` have what every server should run from now on; carrying one out twice changes nothing.
    """
    notes: list[Decision] = []
    if state.note:
        message = f"the stored state could not be read and the tuner starts afresh: {state.note}"
        notes.append(Decision(Action.HOLD, Reason.STATE_DISCARDED, message))
        state = dataclasses.replace(state, note="")
    state = state.not_after(now, gate.wait_after(policy.windows, state.history.reversals))
    observations, implausible = plausibility.sift(observations)
    inputs = Inputs(policy, observations, now, canaries, trials, pods)
    stopped = policy.mode is not Mode.AUTO or policy.frozen
    orphaned = (state.canary is not None and not canaries) or (state.trial is not None and trials is None)
    if not state.is_watching and (stopped or orphaned):
        # the change ends where it is: what every server should run by now is kept; a canary is withdrawn
        state = ending.watch_again(state, state.desired)
    if killed and policy.mode is not Mode.OFF and not policy.frozen:
        state, consequence = memory_kill.react(inputs, state, killed)
        if consequence is not None:
            return state, (*notes, consequence)
    if policy.mode is Mode.OFF:
        state = ending.watch_again(state, state.desired)
        decision = Decision(Action.HOLD, Reason.MODE_OFF, "the mode is Off: the settings stay as they are")
    elif policy.frozen:
        state = ending.watch_again(state, state.desired)
        decision = Decision(Action.HOLD, Reason.FROZEN, "the tuner is frozen: the settings stay as they are")
    else:
        earlier = state
        state, decision = _advance(inputs, earlier)
        state = guarding.with_guard(inputs, earlier, state)
        if implausible and decision.reason is Reason.DATA_MISSING:
            decision = dataclasses.replace(decision, message=f"{decision.message}; {implausible}, which is impossible")
    return state, (*notes, decision)


def _advance(inputs: Inputs, state: TunerState) -> ending.Transition:  # noqa: PLR0911 (one return a phase reads best)
    """Take one step from the phase that the app is in."""
    phase = state.phase
    if isinstance(phase, Watching):
        return watching.watch(inputs, state, phase)
    if not inputs.observations:
        # no pod is there to run the settings, so the time does not count; pods to come start with them
        decision = phase.decision if isinstance(phase, RollingBack | Recheck) else phase.change.decision
        return dataclasses.replace(state, phase=dataclasses.replace(phase, since=inputs.now)), decision
    if isinstance(phase, WorkerTrial):
        return worker_trial.advance(inputs, state, phase)
    if isinstance(phase, CanaryApplying | CanaryRunning):
        return canary_phase.advance_canary(inputs, state, phase)
    if isinstance(phase, Applying):
        return applying.wait_for_servers(inputs, state, phase)
    if isinstance(phase, Climbing):
        return climbing.advance_climb(inputs, state, phase)
    if isinstance(phase, Trial):
        return trial_phase.advance_trial(inputs, state, phase)
    if isinstance(phase, RollingBack):
        return applying.wait_for_rollback(inputs, state, phase)
    return trial_phase.advance_recheck(inputs, state, phase)
