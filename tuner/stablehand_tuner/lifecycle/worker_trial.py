"""One worker tries what may break the app, beside siblings that go on as before.

The server guards the trial by itself and ends it within tenths of a second, whether the tuner lives or not; the tuner
reads how it ended, compares what no guard does, and confirms it by letting every worker run what was tried. A class
that did harm is never tried again for the same image. What showed nothing is tried again, each time twice as late.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.evidence import worker_verdict
from stablehand_tuner.evidence.comparison import Comparison
from stablehand_tuner.lifecycle import applying, canary, gate
from stablehand_tuner.lifecycle.ending import Transition, watch_again
from stablehand_tuner.lifecycle.learning import with_ceiling
from stablehand_tuner.lifecycle.phases import Applying, Change, Climbing, RollingBack, WorkerTrial
from stablehand_tuner.model import memory, risk
from stablehand_tuner.model.tries import SEVERAL
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.trial_seen import RUNNING
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.trial_seen import TrialSeen

IN_PROGRESS = frozenset({"booting", RUNNING})
UNSHARED = "unshared"  # a second process is what the app does not bear, whatever its class
# What the server's guard found, by the state in which it has left the trial.
HARM = {
    "failed": Reason.TRIAL_ERRORS,
    "changed": Reason.TRIAL_ANSWERS,
    UNSHARED: Reason.TRIAL_ANSWERS,
    "late": Reason.TRIAL_LAG,
    "unserved": Reason.TRIAL_UNSERVED,
    "died": Reason.TRIAL_DIED,
    "boot_failure": Reason.SERVER_REFUSED,
}
# What speaks against a change, but breaks nothing: it may do better another time.
FOR_NOTHING = frozenset({Reason.WORKER_TRIAL_UNDECIDED, Reason.TRIAL_LATENCY, Reason.TRIAL_CPU})
COLD_SHARE = 0.1  # of the trial's time: until then first requests, imports and caches slow the new worker down


def place(inputs: Inputs, known_pod: str | None) -> tuple[str, TrialSeen] | None:
    """Return the pod in which a worker can try something, and what its server reports; None if nobody can begin that.

    Args:
        inputs: the step's.
        known_pod: the pod that tries the change anyway, if one does.
    """
    if inputs.trials is None:
        return None
    pod = known_pod
    if pod is None:
        pod = next(iter(inputs.observations)) if len(inputs.observations) == 1 else None
        if pod is None and inputs.can_canary:
            pod = canary.choose(inputs.observations)
    report = None if pod is None else inputs.trials.get(pod)
    return None if report is None or pod is None else (pod, report)


def begin(
    inputs: Inputs,
    state: TunerState,
    decision: Decision,
    *,
    before: Settings,
    baseline: Observation,
    pod: str,
    next_canary: str | None,
    aim: Decision | None,
) -> Transition:
    """Let one worker of a pod try the class and slots of the decision's settings.

    Args:
        inputs: the step's.
        state: the tuner's.
        decision: it has settings to change to.
        before: what every pod runs now.
        baseline: what led to the change.
        pod: whose worker tries it.
        next_canary: the pod that runs it next, before all others do; None if all do.
        aim: as for `applying.begin`.

    Raises:
        ValueError: when the decision has no settings.
    """
    target = decision.settings
    if target is None:
        raise ValueError("a change needs settings to change to")
    reported = max((each.id for each in (inputs.trials or {}).values()), default=0)
    number = max(state.history.trial_id, reported) + 1
    goal = target if aim is None or aim.settings is None else aim.settings
    trial = risk.trial(number, target, goal, inputs.policy.windows, baseline=baseline, before=before)
    message = f"{decision.message}; one worker tries it first"
    asked = dataclasses.replace(decision, action=Action.TRY, message=message, pod=pod if inputs.can_canary else None)
    phase = WorkerTrial(
        inputs.now,
        Change(before, target, asked),
        pod,
        baseline,
        trial,
        own_settings=inputs.can_canary,
        comparison=Comparison.against(None),
        aim=aim,
        canary=next_canary,
    )
    history = dataclasses.replace(state.history.with_change(inputs.now), trial_id=number)
    return dataclasses.replace(state, phase=phase, history=history), asked


def advance(inputs: Inputs, state: TunerState, phase: WorkerTrial) -> Transition:  # noqa: PLR0911 (one return an end)
    """Follow the trial: what the server reports of it decides, then what the worker shows beside its siblings."""
    if phase.pod not in inputs.observations:
        return _give_up(inputs, state, phase, Reason.CANARY_LOST, f"{phase.pod} is gone")
    seen, before = inputs.observations[phase.pod], phase.change.before
    outside = _set_from_outside(seen, before)
    if outside is not None:
        message = f"{outside} was set from outside while one worker tried {phase.change.target}: observing again"
        held = Decision(Action.HOLD, Reason.SETTINGS_CHANGED_OUTSIDE, message)
        return watch_again(state, None), held
    steady = [each for each in inputs.present if each.steady and each.settings_active == before]
    if steady and (relief := memory.relieve_memory(inputs.policy, aggregation.combine(steady), before)) is not None:
        if phase.change.target.slots > before.slots:
            state = dataclasses.replace(state, known=state.known.with_ceiling(phase.change.target.slots))
        return _undecided(inputs, state, phase, f"the trial cannot wait: {relief.message}", reason=Reason.MEMORY)
    report = (inputs.trials or {}).get(phase.pod)
    if report is None or report.id < phase.trial.id:
        return _wait(inputs, state, phase, seen)
    if report.id == phase.trial.id and report.state in HARM:
        what = SEVERAL if report.state == UNSHARED else None
        message = f"the server has ended its trial ({report.state})"
        return _harmed(inputs, state, phase, HARM[report.state], message, what=what)
    if report.id > phase.trial.id or report.state not in IN_PROGRESS:
        how = report.state if report.id == phase.trial.id else f"it runs trial {report.id}"
        return _undecided(inputs, state, phase, f"the server has not run the trial to its end: {how}")
    if report.worker is None or report.siblings is None:
        return _wait(inputs, state, phase, seen)
    return _compare(inputs, state, phase, report)


def _set_from_outside(seen: Observation | None, before: Settings) -> Settings | None:
    if seen is None or not seen.steady or seen.settings_desired in {before, None}:
        return None
    return seen.settings_desired


def _wait(inputs: Inputs, state: TunerState, phase: WorkerTrial, seen: Observation | None) -> Transition:
    """Wait until the worker serves, or can be seen again."""
    windows, target = inputs.policy.windows, phase.change.target
    if seen is not None and seen.switches_rejected and phase.window.observed is None:
        return _undecided(inputs, state, phase, f"the server refused the trial of {target}; see its log")
    served = 0.0 if phase.window.observed is None else phase.trial.seconds
    if inputs.now - phase.since >= windows.apply_seconds + served:
        return _undecided(inputs, state, phase, f"how one worker serves with {target} could not be observed")
    return state, phase.change.decision if phase.window.observed is None else _trying(phase)


def _compare(inputs: Inputs, state: TunerState, phase: WorkerTrial, report: TrialSeen) -> Transition:
    windows, change = inputs.policy.windows, phase.change
    worker, siblings = report.worker, report.siblings
    if worker is None or siblings is None:
        return _wait(inputs, state, phase, None)
    worker = dataclasses.replace(worker, settings_active=phase.trial.settings(1))
    window = phase.window.add(worker, missing=0, scrapes=1)
    settled = window.seconds > COLD_SHARE * windows.trial_seconds
    comparison = phase.comparison.add(worker, siblings, settled=settled)
    phase = dataclasses.replace(phase, window=window, comparison=comparison)
    state = dataclasses.replace(state, phase=phase)
    verdict = worker_verdict.judge(
        comparison,
        window.observed or worker,
        change.target,
        windows,
        longest=risk.lasting_seconds(windows, phase.baseline, change.before),
        flees=change.decision.reason is Reason.LOOP_BLOCKED,
    )
    if verdict is None:
        return state, _trying(phase)
    if verdict.reason in FOR_NOTHING:
        return _undecided(inputs, state, phase, verdict.message, reason=verdict.reason)
    if not verdict.passed:
        return _harmed(inputs, state, phase, verdict.reason, verdict.message)
    return _confirm(inputs, state, phase, verdict.message)


def _confirm(inputs: Inputs, state: TunerState, phase: WorkerTrial, why: str) -> Transition:
    """Go on with the change as if it began now: on a canary where there are several pods, by steps, or everywhere."""
    change, known = phase.change, state.known
    if change.before.workers == 1:  # there were two processes now
        known = known.with_several(Reason.TRIAL_PASSED)
    message = f"{change.target} in one worker did {why}; {_without_hint(change.decision.message)}"
    decision = dataclasses.replace(change.decision, action=Action.APPLY, message=message, pod=None)
    state, decision = applying.begin(
        dataclasses.replace(state, known=known),
        decision,
        inputs.now,
        before=change.before,
        baseline=phase.baseline,
        pod=phase.canary,
        aim=phase.aim,
        counted=True,
    )
    following = state.phase
    if phase.own_settings and isinstance(following, Applying | Climbing):
        # the pod keeps settings of its own until every pod runs them, so that the trial is confirmed at once
        state = dataclasses.replace(state, phase=dataclasses.replace(following, pod=phase.pod))
    return state, decision


def _harmed(
    inputs: Inputs, state: TunerState, phase: WorkerTrial, reason: Reason, message: str, *, what: str | None = None
) -> Transition:
    """Never try it again for this image."""
    target = phase.change.target
    what = what or risk.of(phase.change.before, target, state.known) or target.worker_class.value
    state = dataclasses.replace(state, known=risk.with_harm(state.known, what, target, reason))
    return _give_up(inputs, state, phase, reason, f"one worker tried {target}, and {what} did harm: {message}")


def _undecided(
    inputs: Inputs,
    state: TunerState,
    phase: WorkerTrial,
    message: str,
    *,
    reason: Reason = Reason.WORKER_TRIAL_UNDECIDED,
) -> Transition:
    """Try it again later, each time twice as late."""
    target = phase.change.target
    what = risk.of(phase.change.before, target, state.known) or target.worker_class.value
    cost = phase.baseline.cpu_seconds_per_request
    known = dataclasses.replace(state.known, tries=state.known.tries.after(what, cost=cost, now=inputs.now))
    if reason is Reason.TRIAL_LATENCY:
        # as many requests take longer in more slots of a process: more processes may be what they need
        good, bad = phase.change.before, phase.trial.settings(phase.change.before.workers)
        known = with_ceiling(known, Reason.TRIAL_NO_GAIN, good=good, bad=bad, seen=phase.baseline, now=inputs.now)
    state = dataclasses.replace(state, known=known)
    return _give_up(inputs, state, phase, reason, message)


def _give_up(inputs: Inputs, state: TunerState, phase: WorkerTrial, reason: Reason, message: str) -> Transition:
    """Withdraw the trial: one worker alone was exposed, so the next change need not wait for longer."""
    before, history = phase.change.before, state.history
    pod = phase.pod if phase.own_settings else None
    decision = Decision(Action.ROLL_BACK, reason, f"{message}: {before} stays", before, pod=pod)
    next_change_at = inputs.now + gate.wait_after(inputs.policy.windows, history.reversals)
    history = dataclasses.replace(history, next_change_at=next_change_at)
    return dataclasses.replace(state, phase=RollingBack(inputs.now, before, decision), history=history), decision


def _trying(phase: WorkerTrial) -> Decision:
    worker, siblings = phase.window.observed, phase.comparison.control
    message = (
        f"one worker of {phase.pod} tries {phase.change.target}, so far for {phase.window.seconds:.0f} s; "
        f"{_without_hint(phase.change.decision.message)}"
    )
    evidence = {}
    if worker is not None and siblings is not None:
        evidence = {
            "requests": round(worker.requests),
            "requests_siblings": round(siblings.requests),
            "error_share": round(worker.error_share, 5),
            "error_share_siblings": round(siblings.error_share, 5),
        }
    return Decision(Action.HOLD, Reason.WORKER_TRIAL, message, evidence=evidence)


def _without_hint(message: str) -> str:
    return message.removesuffix("; one worker tries it first")
