"""How a change ends: it is kept, or rolled back; what the state remembers of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import harm
from stablehand_tuner.lifecycle import gate
from stablehand_tuner.lifecycle.state import EMPTY_WINDOW, MOST_REFUSED, Phase, TunerState
from stablehand_tuner.model.compose import EVENT_LOOPS, direction
from stablehand_tuner.observe.load import Load
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings, WorkerClass
    from stablehand_tuner.lifecycle.retrial import Doubt
    from stablehand_tuner.model.kinds import Kinds
    from stablehand_tuner.policy import Policy

Transition = tuple[TunerState, Decision]

# What ended the change was not the settings' doing: their class stays a candidate.
NOT_THE_CLASS = frozenset({Reason.TRIAL_NO_GAIN, Reason.CANARY_UNDECIDED, Reason.CANARY_LOST, Reason.MEMORY})
# Nor was it anybody's mistake: the next change need not wait for longer.
NO_REVERSAL = frozenset({Reason.CANARY_LOST, Reason.MEMORY})
ANOTHER_LOAD = 3.0  # times the CPU share
REFUSALS = frozenset({Reason.SERVER_REFUSED, Reason.APPLY_TIMED_OUT})


def keep(
    policy: Policy,
    state: TunerState,
    now: float,
    message: str,
    *,
    target: Settings,
    evidence: Mapping[str, float],
) -> Transition:
    """End a change with its settings staying; one against the direction of the last makes the next wait longer.

    Unless the app does something else by now: to follow it is no going back and forth.
    """
    current = target if state.settings is None else state.settings
    towards = direction(target, current)
    share = None if state.baseline is None else state.baseline.cpu_share
    reversed_now = towards * state.direction < 0 and not _another_load(state.share, share)
    reversals = state.reversals + 1 if reversed_now else max(0, state.reversals - 1)
    banned = dict(state.banned)
    if state.baseline is not None and target.worker_class is not current.worker_class:
        blocked = harm.loop_blocked(None, state.baseline, current, early=False)
        if blocked is not None:
            banned[current.worker_class] = blocked.reason
    kept = dataclasses.replace(
        end(state, settings=target),
        banned=banned,
        # more slots proved their worth to requests of this kind: it is known what they wait
        kinds=_noted(state, current) if target.slots > current.slots else state.kinds,
        reversals=reversals,
        direction=towards or state.direction,
        share=state.share if share is None else share,
        next_change_at=now + gate.wait_after(policy.windows, reversals),
    )
    return kept, Decision(Action.KEEP, Reason.TRIAL_PASSED, f"{target} stays: {message}", target, evidence)


def _another_load(before: float | None, now: float | None) -> bool:
    """Tell whether the CPU share is another than it was at the last change, by far."""
    if not before or not now:
        return False
    return max(before, now) > ANOTHER_LOAD * min(before, now)


def roll_back(
    policy: Policy,
    state: TunerState,
    now: float,
    reason: Reason,
    message: str,
    *,
    target: Settings,
    doubt: Doubt | None = None,
) -> Transition:
    """Go back to what ran before; a class that failed is not tried again for this image.

    One that only gained nothing is: the machine's neighbours may have had their part in that. With a doubt, what ran
    before is compared once more before anything is held against the class.
    """
    before = target if state.settings is None else state.settings
    reversals = state.reversals if reason in NO_REVERSAL else state.reversals + 1
    refused = state.refused
    if reason in REFUSALS:
        refused = (*(each for each in refused if each != target), target)[-MOST_REFUSED:]
    if reason is Reason.TRIAL_MEMORY and target.slots > before.slots:
        state = state.with_ceiling(target.slots)
    pod = None if state.canary is None else state.canary.pod
    decision = Decision(Action.ROLL_BACK, reason, f"{message}: back to {before}", before, pod=pod)
    state = clear_window(
        state,
        phase=Phase.ROLLING_BACK,
        since=now,
        target=before,
        change=decision,
        canary=None,
        baseline=None,
        doubt=doubt,
        banned=state.banned if doubt else with_ban(state, reason, target=target, before=before),
        # what fewer slots do not suit is not tried again
        kinds=_noted(state, before) if target.slots < before.slots else state.kinds,
        refused=refused,
        reversals=reversals,
        next_change_at=now + gate.wait_after(policy.windows, reversals),
    )
    return state, decision


def _noted(state: TunerState, before: Settings) -> Kinds:
    """Return the kinds of requests with the one that the change was made for."""
    seen = state.baseline
    return state.kinds if seen is None or not seen.requests else state.kinds.note(seen, Load.of(seen, before))


def with_ban(state: TunerState, reason: Reason, *, target: Settings, before: Settings) -> dict[WorkerClass, Reason]:
    """Return the banned classes, with the target's among them if it was what failed.

    An event loop is there to gain something: without a gain it failed.
    """
    banned = dict(state.banned)
    unproven = reason is Reason.TRIAL_NO_GAIN and target.worker_class in EVENT_LOOPS
    if target.worker_class is not before.worker_class and (unproven or reason not in NOT_THE_CLASS):
        banned[target.worker_class] = reason
    return banned


def end(state: TunerState, *, settings: Settings | None) -> TunerState:
    """Return the state without any change under way, and with these settings as what every pod should run."""
    return clear_window(
        state,
        phase=Phase.WATCHING,
        since=None,
        settings=settings,
        target=None,
        change=None,
        canary=None,
        baseline=None,
        doubt=None,
    )


def clear_window(state: TunerState, **changes: object) -> TunerState:
    """Return the state with these changes, and with an empty window."""
    cleared: dict[str, Any] = {**EMPTY_WINDOW, "verdict": None, **changes}
    return dataclasses.replace(state, **cleared)


def elapsed(state: TunerState, now: float) -> float:
    """Return the seconds since the phase began."""
    return now - (now if state.since is None else state.since)
