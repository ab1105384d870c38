"""How a change begins: in one worker, on a canary or everywhere; at once, or as the first step of a climb."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import applying, canary, gate, worker_trial
from stablehand_tuner.model import limits, path, risk
from stablehand_tuner.policy import Objective
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.ending import Transition
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.model.footprint import Footprint
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.trial_seen import TrialSeen


def begin(
    inputs: Inputs,
    state: TunerState,
    decision: Decision,
    *,
    current: Settings,
    baseline: Observation | None,
    is_emergency: bool,
) -> Transition | Decision:
    """Begin a change to the decision's settings; without a baseline it is urgent, and not tried.

    Returns:
        The state and the decision that begins it; or a decision to hold where a server refuses what is on the way, or
        still runs a trial that is not the tuner's.
    """
    if baseline is None:
        return applying.begin(state, decision, inputs.now, before=current, baseline=None)
    aim, steps = None, _first_step(inputs, decision, current, baseline, state.known.footprint)
    if steps is not None:
        first, aim = steps
        if first.settings in state.known.refused:
            message = (
                f"{decision.settings} would suit, but a server refused {first.settings}, which is on the way there"
            )
            return Decision(Action.HOLD, Reason.REFUSED_BEFORE, message, evidence=decision.evidence)
        decision = first
    pod = _canary(inputs, decision, current, is_emergency=is_emergency)
    if aim is not None and decision.settings is not None and gate.in_place(decision.settings, current):
        pod = None  # more slots on one pod draw no more load than its siblings have: all climb together
    place = _where_a_worker_tries(inputs, state, decision, current=current, baseline=baseline, pod=pod)
    if place is not None:
        tries, report = place
        if report.state in worker_trial.IN_PROGRESS:
            message = (
                f"{decision.settings} would suit, but trial {report.id}, which is not of now, still runs in {tries}"
            )
            return Decision(Action.HOLD, Reason.WORKER_TRIAL, message, evidence=decision.evidence)
        return worker_trial.begin(
            inputs, state, decision, before=current, baseline=baseline, pod=tries, next_canary=pod, aim=aim
        )
    return applying.begin(state, decision, inputs.now, before=current, baseline=baseline, pod=pod, aim=aim)


def _where_a_worker_tries(
    inputs: Inputs, state: TunerState, decision: Decision, *, current: Settings, baseline: Observation, pod: str | None
) -> tuple[str, TrialSeen] | None:
    """Return the pod of which one worker tries the change; None where nothing can break, or nobody can do that."""
    if decision.settings is None or risk.of(current, decision.settings, state.known) is None:
        return None
    return worker_trial.place(inputs, pod) if risk.has_room(current, state.known, baseline) else None


def _first_step(
    inputs: Inputs, decision: Decision, current: Settings, baseline: Observation, footprint: Footprint
) -> tuple[Decision, Decision] | None:
    """Return the decision for the first step of a climb, and that for its goal; None where one step is enough.

    Another class that has to prove itself is tried as it is to be: its trial compares the classes, not the slots.
    """
    goal = decision.settings
    if goal is None or decision.reason in gate.SIDEWAYS or goal.slots <= current.slots:
        return None
    kept = path.in_as_many_processes(inputs.policy, current, goal)
    if kept is not None and inputs.policy.objective is not Objective.COST:
        # each process has a lock, a pool or a core of its own; that there are enough of them is no matter of the slots
        fitting = limits.within_memory(
            inputs.policy, baseline, current, wanted=kept, in_use=kept.slots, footprint=footprint
        )
        if fitting == kept:
            goal = kept
            message = f"{decision.message}, in the {kept.workers} processes that there are: {kept}"
            decision = dataclasses.replace(decision, settings=kept, message=message)
    step = path.next_step(inputs.policy, current, goal, baseline.connections / baseline.pods)
    if step == goal:
        return None
    first = dataclasses.replace(decision, message=f"{decision.message}; in steps, {step} first", settings=step)
    return first, decision


def _canary(inputs: Inputs, decision: Decision, current: Settings, *, is_emergency: bool) -> str | None:
    """Return the pod that tries the change first, or None where all have to run it at once.

    An emergency does not wait for a canary unless the worker class changes: a mistake on every pod is worse than the
    wait.
    """
    if not inputs.can_canary or decision.settings is None:
        return None
    if is_emergency and decision.settings.worker_class is current.worker_class:
        return None
    return canary.choose(inputs.observations)
