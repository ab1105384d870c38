"""Going back after a step that served no more, or did harm: to the best step, to one between, or another way.

What the step has shown is learned first: from how many slots on, and of what. Where the slots of a process are what has
met its ceiling, and cores are free, more processes are the other way. Where requests fail, it is searched how many
slots do no harm.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence.step import StepVerdict, served_well
from stablehand_tuner.lifecycle import guarding
from stablehand_tuner.lifecycle.doubt import COMPARED, Doubt
from stablehand_tuner.lifecycle.ending import REFUSALS, Transition, roll_back
from stablehand_tuner.lifecycle.learning import with_ceiling
from stablehand_tuner.lifecycle.phases import Applying, Change, Climbing
from stablehand_tuner.model import path, risk
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.model.compose import compose
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.climb import Climb
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation

MOST_SEARCHES = 3  # for settings that do no harm; once they are found, one more is worth it
WORTH_A_SEARCH = 1.05  # times the slots of the best step: fewer more are not worth another change
NEAR, FAR = 0.97, 1.2  # times the slots that seem to be harmless: what is tried, and what need not be tried
NEXT_TO = 1.12  # times the slots of the best step: one less than harm is worth a search up to here
WIDE = 1.15  # times the slots of the best step that do harm: nearer, another search would gain little


def go_back(
    inputs: Inputs,
    state: TunerState,
    phase: Climbing,
    verdict: StepVerdict,
    seen: Observation | None,
    *,
    guarded: bool = False,
) -> Transition:
    """Learn the ceiling that the step has met, if it has met one, and go back.

    Args:
        inputs: of this step of the tuner.
        state: the tuner's.
        phase: the climb; its change's target is the step.
        verdict: on the step.
        seen: what the verdict rests on; None where nothing was seen.
        guarded: whether the server has ended the step by itself, so soon that nothing was seen of what it serves well;
            then `seen` is what the best step showed.
    """
    if seen is None:
        return _end(inputs, state, phase, verdict, None)
    target = phase.change.target
    climb = phase.climb if guarded else phase.climb.ended(target, seen)
    if verdict.reason is Reason.TRIAL_ERRORS:
        likely = target.slots if guarded else math.ceil(FAR * _harmless(climb, seen))
        bad = min(target.slots, climb.bad or target.slots, likely)
        climb = dataclasses.replace(climb, bad=max(climb.best.slots + 1, bad))
    phase = dataclasses.replace(phase, climb=climb)
    state = _learned(inputs, state, climb, target, verdict)
    explained = climb.explained(climb.best)
    if explained:
        verdict = dataclasses.replace(verdict, message=f"{verdict.message} ({explained})")
    between = _between(inputs, climb, target, None if guarded else seen, verdict)
    if between is not None:
        phase = dataclasses.replace(phase, climb=climb.searching(between))
        return _step_back(inputs, state, phase, verdict, between)
    another = _another_way(inputs, state, climb, target, verdict)
    if another is not None:
        climb = dataclasses.replace(climb, aim=another)
        following = path.next_step(inputs.policy, climb.best, climb.goal, climb.seen.connections / climb.seen.pods)
        state = dataclasses.replace(state, history=state.history.with_change(inputs.now))
        return _step_back(inputs, state, dataclasses.replace(phase, climb=climb), verdict, following)
    return _end(inputs, state, phase, verdict, seen)


def take_step(inputs: Inputs, state: TunerState, phase: Climbing, decision: Decision, target: Settings) -> Transition:
    """Let every server run the decision's settings as the next step of the climb."""
    change, ran = Change(phase.change.before, target, decision), phase.change.target
    return dataclasses.replace(state, phase=Climbing(inputs.now, change, phase.baseline, phase.climb, ran)), decision


def further(inputs: Inputs, climb: Climb) -> Settings | None:
    """Return settings between the best step and harm, if the two are still far apart."""
    if climb.searches > _most_searches(inputs) or climb.bad < WIDE * climb.best.slots:
        return None
    slots = int(math.sqrt(climb.best.slots * climb.bad))
    if climb.bad - 1 <= NEXT_TO * climb.best.slots:
        slots = climb.bad - 1
    found = _about(inputs, climb.best, slots, below=climb.bad)
    if found is None and guarding.guards(inputs):  # then a try costs little: as near to harm as there are settings
        found = _about(inputs, climb.best, climb.bad - 1, below=climb.bad)
    return found


def _learned(inputs: Inputs, state: TunerState, climb: Climb, target: Settings, verdict: StepVerdict) -> TunerState:
    known = with_ceiling(
        state.known,
        verdict.reason,
        good=climb.best,
        bad=target,
        seen=climb.seen,
        now=inputs.now,
        cores_full=verdict.cores_full,
    )
    only_processes = target.workers > climb.best.workers and target.slots_per_worker == climb.best.slots_per_worker
    if known != state.known and only_processes:
        # more processes did not help either: what is short is not the process'
        known = dataclasses.replace(known, ceilings=known.ceilings.without(Level.PROCESS, verdict.reason))
    return dataclasses.replace(state, known=known)


def _between(
    inputs: Inputs, climb: Climb, target: Settings, seen: Observation | None, verdict: StepVerdict
) -> Settings | None:
    """Return settings between harm and no harm, if there are some to search."""
    if verdict.reason is not Reason.TRIAL_ERRORS or climb.searches >= _most_searches(inputs):
        return None
    best = climb.best
    if target.worker_class is not best.worker_class or best.slots_per_worker == 1:
        return None
    nearest = None
    if seen is not None:
        nearest = _about(inputs, best, int(NEAR * _harmless(climb, seen)), below=target.slots)
    return further(inputs, climb) if nearest is None else nearest


def _most_searches(inputs: Inputs) -> int:
    return MOST_SEARCHES + guarding.guards(inputs)  # nothing was seen of what a step served that a server ended


def _harmless(climb: Climb, seen: Observation) -> float:
    """Return about how many slots would have done without harm what a harmful step served well.

    While requests wait for a slot, each slot serves as many.
    """
    was = served_well(climb.seen)
    return climb.best.slots * served_well(seen) / was if was > 0 else 0.0


def _about(inputs: Inputs, best: Settings, slots: int, *, below: int) -> Settings | None:
    """Return settings like the best ones with about as many slots, in a process more or less if that comes nearer.

    A process less could not be undone in place, so the only server is not asked for that where it guards the steps, and
    several are only if nothing else comes near.
    """
    most = min(slots, below - 1)
    found = [
        compose(inputs.policy, best.worker_class, workers, max(1, most // workers))
        for workers in (best.workers, best.workers + 1, max(2, best.workers - 1))
        if inputs.policy.workers_within(best.workers).clamp(workers) == workers
        # the first second process is tried by one worker first, where the server can do that
        and not (inputs.trials is not None and best.workers == 1 < workers)
    ]
    fitting = [each for each in found if WORTH_A_SEARCH * best.slots <= each.slots <= most]
    if guarding.guards(inputs):
        in_place = [each for each in fitting if each.workers >= best.workers]
        fitting = in_place or (fitting if inputs.can_canary else [])
    return max(fitting, key=lambda each: each.slots, default=None)


def _another_way(
    inputs: Inputs, state: TunerState, climb: Climb, target: Settings, verdict: StepVerdict
) -> Decision | None:
    """Return the decision for more processes, where the slots of one process have met their ceiling; else None."""
    if verdict.cores_full or target.slots_per_worker <= climb.best.slots_per_worker or not climb.seen.requests:
        return None
    if len(state.history.recent(inputs.now)) >= inputs.policy.changes_per_hour:
        return None
    proposal = model.propose(inputs.policy, climb.seen, climb.best, state.known, now=inputs.now, pods=inputs.pods)
    wanted = proposal.settings
    grows = wanted.workers > climb.best.workers and wanted.slots > climb.best.slots
    if not grows or wanted.worker_class is not climb.best.worker_class or wanted in state.known.refused:
        return None
    if inputs.trials is not None and risk.of(climb.best, wanted, state.known) is not None:
        return None  # one worker tries it first, once this climb is over
    return Decision(Action.APPLY, proposal.reason, proposal.message, wanted, proposal.evidence, None, proposal.needs)


def _step_back(
    inputs: Inputs, state: TunerState, phase: Climbing, verdict: StepVerdict, target: Settings
) -> Transition:
    message = f"{phase.change.target}: {verdict.message}; {target} instead"
    decision = Decision(Action.APPLY, Reason.STEP_BACK, message, target, phase.climb.aim.evidence)
    return take_step(inputs, state, phase, decision, target)


def _end(
    inputs: Inputs, state: TunerState, phase: Climbing, verdict: StepVerdict, seen: Observation | None
) -> Transition:
    """Go back to the best step, and put that on trial; where the first step failed, roll the change back."""
    change, climb, reason = phase.change, phase.climb, verdict.reason
    best, target = climb.best, change.target
    # a loop that was not late with fewer slots is not blocked, but full
    blocked = reason is Reason.TRIAL_LAG and best.worker_class is not target.worker_class
    if best == change.before or blocked:
        doubt = None
        if reason in COMPARED and seen is not None and seen.requests:
            doubt = Doubt(target, climb.aim.evidence, seen, reason)
        return roll_back(inputs, state, phase, reason, verdict.message, doubt=doubt)
    known = state.known
    if reason in REFUSALS:
        known = known.with_refused(target)
    if reason is Reason.TRIAL_MEMORY:
        known = known.with_ceiling(target.slots)
    message = f"{target}: {verdict.message}; {best} is the best step of the climb"
    decision = Decision(Action.APPLY, Reason.STEP_BACK, message, best, climb.aim.evidence)
    applied = Applying(inputs.now, Change(change.before, best, decision), phase.baseline)
    return dataclasses.replace(state, phase=applied, known=known), decision
