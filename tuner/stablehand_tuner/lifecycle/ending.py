"""How a change ends: it is kept, or rolled back; and what is remembered of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import harm
from stablehand_tuner.lifecycle import gate
from stablehand_tuner.lifecycle.learning import with_ceiling
from stablehand_tuner.lifecycle.phases import Applying, RollingBack, Trial, Watching, WorkerTrial
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.model import risk
from stablehand_tuner.model.compose import EVENT_LOOPS, direction
from stablehand_tuner.observe.load import Load
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.doubt import Doubt
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.phases import Attempt
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.observe.observation import Observation

Transition = tuple[TunerState, Decision]

# What ended the change was not the settings' doing: their class stays a candidate.
NOT_THE_CLASS = frozenset({Reason.TRIAL_NO_GAIN, Reason.CANARY_UNDECIDED, Reason.CANARY_LOST, Reason.MEMORY})
# Nor was the change a mistake: the next one need not wait for longer.
NO_REVERSAL = frozenset({Reason.CANARY_LOST, Reason.MEMORY})
ANOTHER_LOAD = 3.0  # times the CPU share
# What is not needed is kept only if it gains something.
MUST_GAIN = frozenset({Reason.EVENT_LOOP, Reason.CROWDED_LOOP})
FOR_NOTHING = frozenset({Reason.TRIAL_NO_GAIN, Reason.CANARY_UNDECIDED})
REFUSALS = frozenset({Reason.SERVER_REFUSED, Reason.APPLY_TIMED_OUT})


def keep(
    inputs: Inputs, state: TunerState, phase: Applying | Trial, message: str, *, evidence: Mapping[str, float]
) -> Transition:
    """End a change with its settings staying; one that undoes the last makes the next wait longer.

    Unless the app does something else by now: following it is no flapping.
    """
    before, target, history, known = phase.change.before, phase.change.target, state.history, state.known
    towards = direction(target, before)
    cpu_share = None if phase.baseline is None else phase.baseline.cpu_share
    is_reversal = towards * history.direction < 0 and not _is_another_load(history.cpu_share, cpu_share)
    reversals = history.reversals + 1 if is_reversal else max(0, history.reversals - 1)
    if phase.baseline is not None and target.worker_class is not before.worker_class:
        blocked = harm.loop_blocked(None, phase.baseline, before, early=False)
        if blocked is not None:
            known = known.with_banned(before.worker_class, blocked.reason)
    if target.slots > before.slots:
        # requests of this kind made use of more slots, so their CPU share is known
        known = _with_kind(known, phase.baseline, before)
    if phase.baseline is not None:
        seen = phase.baseline
        passed = known.ceilings.passed(target, seen.pods, seen.cpu_seconds_per_request, inputs.now)
        known = dataclasses.replace(known, ceilings=passed)
    kept = dataclasses.replace(
        watch_again(state, target),
        known=known,
        history=dataclasses.replace(
            history,
            reversals=reversals,
            direction=towards or history.direction,
            cpu_share=history.cpu_share if cpu_share is None else cpu_share,
            next_change_at=inputs.now + gate.wait_after(inputs.policy.windows, reversals),
        ),
    )
    return kept, Decision(Action.KEEP, Reason.TRIAL_PASSED, f"{target} stays: {message}", target, evidence)


def _is_another_load(earlier: float | None, later: float | None) -> bool:
    """Tell whether one CPU share is several times the other."""
    if not earlier or not later:
        return False
    return max(earlier, later) > ANOTHER_LOAD * min(earlier, later)


def roll_back(
    inputs: Inputs, state: TunerState, phase: Attempt, reason: Reason, message: str, *, doubt: Doubt | None = None
) -> Transition:
    """Go back to what ran before; a class that failed is not tried again for this image.

    One that only gained nothing is tried again: neighbours on the machine may have taken the cores meanwhile. With a
    doubt, what ran before is compared once more before the class is banned.
    """
    before, target = phase.change.before, phase.change.target
    history, known = state.history, state.known
    reversals = history.reversals if reason in NO_REVERSAL else history.reversals + 1
    if reason in REFUSALS:
        known = known.with_refused(target)
    if reason is Reason.TRIAL_MEMORY and target.slots > before.slots:
        known = known.with_ceiling(target.slots)
    if doubt is None:
        known = with_ban(known, reason, target=target, before=before)
        known = with_try(known, reason, target=target, before=before, seen=phase.baseline, now=inputs.now)
        if reason is Reason.TRIAL_ERRORS and target.worker_class is not before.worker_class and history.began_at:
            # it was the class, not the number of slots, what made requests fail on the steps to here
            known = dataclasses.replace(known, ceilings=known.ceilings.without_harm_since(history.began_at[-1]))
        if phase.baseline is not None:
            known = with_ceiling(known, reason, good=before, bad=target, seen=phase.baseline, now=inputs.now)
    if target.slots < before.slots:
        # fewer slots do not suit this kind of requests, and are not tried for it again
        known = _with_kind(known, phase.baseline, before)
    pod = None if isinstance(phase, Trial) else phase.pod
    if isinstance(phase, WorkerTrial) and not phase.own_settings:
        pod = None
    decision = Decision(Action.ROLL_BACK, reason, f"{message}: back to {before}", before, pod=pod)
    next_change_at = inputs.now + gate.wait_after(inputs.policy.windows, reversals)
    rolling_back = dataclasses.replace(
        state,
        phase=RollingBack(inputs.now, before, decision, doubt),
        known=known,
        history=dataclasses.replace(history, reversals=reversals, next_change_at=next_change_at),
    )
    return rolling_back, decision


def _with_kind(known: Known, baseline: Observation | None, before: Settings) -> Known:
    """Add the kind of requests that a change was made for."""
    if baseline is None or not baseline.requests:
        return known
    return dataclasses.replace(known, kinds=known.kinds.note(baseline, Load.of(baseline, before)))


def with_ban(known: Known, reason: Reason, *, target: Settings, before: Settings) -> Known:
    """Ban the class of a change's target, if the class is what failed.

    An event loop is there to gain something: without a gain it failed.
    """
    unproven = reason is Reason.TRIAL_NO_GAIN and target.worker_class in EVENT_LOOPS
    if target.worker_class is not before.worker_class and (unproven or reason not in NOT_THE_CLASS):
        return known.with_banned(target.worker_class, reason)
    return known


def with_try(
    known: Known, reason: Reason, *, target: Settings, before: Settings, seen: Observation | None, now: float
) -> Known:
    """Add that a change was tried for nothing, unless it is simply more of what runs: it waits for longer."""
    what = risk.tries(before, target, known)
    if what is None or reason not in FOR_NOTHING or target.worker_class in known.banned:
        return known
    cost = None if seen is None else seen.cpu_seconds_per_request
    return dataclasses.replace(known, tries=known.tries.after(what, cost=cost, now=now))


def watch_again(state: TunerState, settings: Settings | None) -> TunerState:
    """Return the state without any change under way, and with these settings as what every pod should run."""
    return dataclasses.replace(state, phase=Watching(settings))
