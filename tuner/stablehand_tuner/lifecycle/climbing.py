"""The life of a climb: each step runs until what it serves is known; the next one has at most twice its slots.

The climb ends at the first of: the model's goal; a step of which half is not used; a step that serves no more (the
knee); harm. After a knee or harm `descending` goes back to the best step. At its end the whole change is on trial, as
any other. `docs/tuner.md` has the reasons and the numbers.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import step as evidence
from stablehand_tuner.evidence.step import Outcome, StepVerdict
from stablehand_tuner.lifecycle import applying, descending, gate, guarding, seeing
from stablehand_tuner.lifecycle.ending import REFUSALS, Transition, watch_again
from stablehand_tuner.lifecycle.phases import Change, Climbing, Trial
from stablehand_tuner.model import limits, path
from stablehand_tuner.observe import aggregation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.observe.observation import Observation

IN_PLACE_SHARE = 0.05  # of the trial's time: how long a step is observed that only adds slots
STARTED_SHARE = 0.15  # the same where it starts processes: they are slow at first
LEAST_STARTED_SECONDS = 2.0  # however short trials are
LONGEST_SHARE = 0.5  # of the trial's time: by then a step is judged, however little it shows
LEAST_LONGEST_SECONDS = 5.0  # however short trials are
SETTLING = 1.5  # times the mean of a request: until then what ends began before the step
SPREADING_SECONDS = 5.0  # after a canary: until it has given up the clients that it had drawn from the other pods
AT_ONCE_SHARE = 0.025  # of the trial's time: requests that are as short need no time to settle


def advance_climb(inputs: Inputs, state: TunerState, phase: Climbing) -> Transition:
    """Wait until every server runs the step; then observe it, and go on or back once it is known what it serves."""
    target, phase = phase.change.target, guarding.without_latecomers(inputs, phase)
    state = dataclasses.replace(state, phase=phase)
    if (ended := guarding.ended(inputs, phase)) is not None:
        seen = phase.climb.seen if ended.reason not in REFUSALS else None
        return descending.go_back(inputs, state, phase, ended, seen, guarded=True)
    if phase.settling.observed is None:
        others = seeing.not_running(inputs, target)
        if others:
            return _wait_for_servers(inputs, state, phase, others)
    elif (theirs := seeing.set_from_outside(inputs, target)) is not None:
        message = f"{theirs} was set from outside while {target} was a step of a climb: observing again"
        return watch_again(state, None), Decision(Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message)
    phase = _observed(inputs, phase)
    state = dataclasses.replace(state, phase=phase, known=_with_footprint(inputs, state.known, target))
    verdict, seen = _judged(inputs, phase)
    if verdict is None:
        return state, _running(phase)
    if verdict.outcome in {Outcome.NO_GAIN, Outcome.HARM}:
        return descending.go_back(inputs, state, phase, verdict, seen)
    return _went_on(inputs, state, phase, verdict, seen or phase.climb.seen)


def _wait_for_servers(
    inputs: Inputs, state: TunerState, phase: Climbing, others: list[Observation | None]
) -> Transition:
    target, refused = phase.change.target, seeing.refusals(others)
    if refused:
        message = f"{refused} of {len(inputs.observations)} servers refused {target}, or rolled it back; see their logs"
        verdict = StepVerdict(Outcome.HARM, Reason.SERVER_REFUSED, message)
        return descending.go_back(inputs, state, phase, verdict, None)
    if late := applying.late(inputs, phase, target, others):
        verdict = StepVerdict(Outcome.HARM, Reason.APPLY_TIMED_OUT, late)
        return descending.go_back(inputs, state, phase, verdict, None)
    return state, phase.change.decision


def _observed(inputs: Inputs, phase: Climbing) -> Climbing:
    """Add what is seen now: to the time of settling, until the requests that began before the step are over."""
    target = phase.change.target
    if phase.settling.observed is None or phase.settling.seconds < _settling_seconds(inputs, phase):
        settling = seeing.observed(inputs, phase.settling, target, since=phase.since, all_of_them=True)
        window = settling if _settles_at_once(inputs, phase) else phase.window
        return dataclasses.replace(phase, settling=settling, window=window)
    return dataclasses.replace(
        phase, window=seeing.observed(inputs, phase.window, target, since=phase.since, all_of_them=True)
    )


def _settling_seconds(inputs: Inputs, phase: Climbing) -> float:
    settling = min(SETTLING * (phase.climb.seen.mean_seconds or 0.0), inputs.policy.windows.trial_seconds)
    return settling if phase.pod is None else max(settling, SPREADING_SECONDS)


def _settles_at_once(inputs: Inputs, phase: Climbing) -> bool:
    return _settling_seconds(inputs, phase) <= AT_ONCE_SHARE * inputs.policy.windows.trial_seconds


def _judged(inputs: Inputs, phase: Climbing) -> tuple[StepVerdict | None, Observation | None]:
    """Return the verdict on the step, None while there is none, and what it rests on."""
    windows, climb, target = inputs.policy.windows, phase.climb, phase.change.target
    if inputs.now - phase.since >= windows.trial_seconds + windows.apply_seconds:
        message = f"how {target} serves could not be observed"
        return StepVerdict(Outcome.HARM, Reason.APPLY_TIMED_OUT, message), None
    everything = _everything(inputs, phase)
    harm = None if everything is None else evidence.early_harm(climb.seen, everything, target, baseline=phase.baseline)
    if harm is not None:
        return harm, everything
    seen = phase.window.observed
    least = IN_PLACE_SHARE * windows.trial_seconds
    if not gate.in_place(target, phase.ran):
        least = max(LEAST_STARTED_SECONDS, STARTED_SHARE * windows.trial_seconds)
    if seen is None or seen.seconds < gate.FULL_ENOUGH * least:
        return None, None
    longest = max(LEAST_LONGEST_SECONDS, LONGEST_SHARE * windows.trial_seconds)
    is_last_call = seen.seconds >= gate.FULL_ENOUGH * longest
    if climb.aim.reason is Reason.CROWDED_LOOP:
        return evidence.judge_processes(climb.seen, seen, target, is_last_call=is_last_call), seen
    expected = climb.expected(target, seen)
    return evidence.judge(climb.seen, seen, target, expected=expected, is_last_call=is_last_call), seen


def _everything(inputs: Inputs, phase: Climbing) -> Observation | None:
    """Return all that was seen of the step so far.

    Slots that were added in place serve from then on: the scrape in the middle of which that was shows harm already.
    """
    settling, window = phase.settling.observed, phase.window.observed
    if settling is None:
        in_the_middle = gate.in_place(phase.change.target, phase.ran) and not inputs.missing
        return aggregation.combine(inputs.present) if in_the_middle and inputs.present else None
    if window is None or _settles_at_once(inputs, phase):
        return window or settling
    return aggregation.merge(settling, window)


def _running(phase: Climbing) -> Decision:
    climb, target = phase.climb, phase.change.target
    message = (
        f"{target} is a step from {phase.change.before} to {climb.goal}, so far for {phase.window.seconds:.0f} s; "
        f"{climb.aim.message}"
    )
    return Decision(Action.HOLD, Reason.CLIMBING, message)


def _went_on(inputs: Inputs, state: TunerState, phase: Climbing, verdict: StepVerdict, seen: Observation) -> Transition:
    """Note that the step did good, and take the next one, unless it is the last."""
    target, why = phase.change.target, verdict.message
    climb = phase.climb.went_on(target, seen)
    passed = state.known.ceilings.passed(target, seen.pods, seen.cpu_seconds_per_request, inputs.now)
    state = dataclasses.replace(state, known=dataclasses.replace(state.known, ceilings=passed))
    if verdict.outcome is not Outcome.SERVED and target.slots >= climb.goal.slots:
        further = descending.further(inputs, climb)
        climb = climb if further is None else climb.searching(further)
    phase = dataclasses.replace(phase, climb=climb)
    if verdict.outcome is Outcome.SERVED or target.slots >= climb.goal.slots:
        return _arrive(inputs, state, phase, why)
    following = path.next_step(inputs.policy, target, climb.goal, seen.connections / seen.pods)
    if following in state.known.refused:
        return _arrive(inputs, state, phase, f"{why}; a server refused {following}")
    # more loops have no more requests among them, and share those that there are
    in_use = seen.demand / seen.pods if climb.aim.reason is Reason.CROWDED_LOOP else float(following.slots)
    fitting = _within_memory(inputs, state.known, target, following, seen, in_use=in_use)
    if fitting.slots <= target.slots:
        return _arrive(inputs, state, phase, f"{why}; the memory holds no more requests")
    following = fitting
    message = f"{target} serves {why}: {following} next, on the way to {climb.goal}"
    decision = Decision(Action.APPLY, Reason.NEXT_STEP, message, following, climb.aim.evidence)
    return descending.take_step(inputs, state, phase, decision, following)


def _with_footprint(inputs: Inputs, known: Known, target: Settings) -> Known:
    """Learn what a request holds: on no other occasion does the number of requests vary as much."""
    if inputs.missing or not all(each.steady and each.settings_active == target for each in inputs.present):
        return known
    return dataclasses.replace(known, footprint=known.footprint.add(aggregation.combine(inputs.present), target))


def _within_memory(
    inputs: Inputs, known: Known, target: Settings, following: Settings, seen: Observation, *, in_use: float
) -> Settings:
    """Return the next step as far as memory holds its requests, once it is known what one of them holds."""
    if known.footprint.request_bytes is None:
        return following
    return limits.within_memory(
        inputs.policy,
        seen,
        target,
        wanted=following,
        in_use=in_use,
        footprint=known.footprint,
        least_workers=following.workers,
    )


def _arrive(inputs: Inputs, state: TunerState, phase: Climbing, why: str) -> Transition:
    """Put the whole change on trial: the step that runs is the last."""
    target = phase.change.target
    decision = dataclasses.replace(phase.climb.aim, settings=target)
    trial = Trial(inputs.now, Change(phase.change.before, target, decision), phase.baseline)
    message = (
        f"{target} is the last step of a climb ({why}): it is on trial for {inputs.policy.windows.trial_seconds:.0f} s"
    )
    return dataclasses.replace(state, phase=trial), Decision(Action.HOLD, Reason.TRIAL_RUNNING, message)
