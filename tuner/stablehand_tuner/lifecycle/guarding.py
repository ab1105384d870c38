"""Steps of a climb that the server guards by itself, and undoes within tenths of a second where requests fail.

The tuner sees a server once a second, and a step that meets a limit, such as a database's, fails many requests in that
time. So a step is a trial on all workers, where it can be undone in place: the file has the best step before it, which
the server goes back to, and the next step confirms it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.contracts.trial import Trial, TrialOn
from stablehand_tuner.evidence.step import Outcome, StepVerdict
from stablehand_tuner.lifecycle.phases import Climbing
from stablehand_tuner.lifecycle.worker_trial import HARM, IN_PROGRESS
from stablehand_tuner.model import risk
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.trial_seen import TrialSeen

GROWS_IN_PLACE = frozenset({WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI})


def with_guard(inputs: Inputs, before: TunerState, state: TunerState) -> TunerState:
    """Return the state with a guard for the step of a climb that has just begun, if the only server can guard it.

    Args:
        inputs: the step's.
        before: the state before it.
        state: the state after it.
    """
    phase, report = state.phase, _only_report(inputs)
    if not isinstance(phase, Climbing) or phase.trial is not None or report is None:
        return state
    earlier = before.phase
    begins = not isinstance(earlier, Climbing) or earlier.change != phase.change
    best, target = phase.climb.best, phase.change.target
    if not begins or not can_undo(best, target):
        return state
    number = max(state.history.trial_id, report.id) + 1
    trial = Trial(
        id=number,
        on=TrialOn.ALL,
        worker_class=target.worker_class,
        workers=target.workers,
        threads=target.threads,
        worker_connections=target.worker_connections,
        seconds=risk.step_seconds(inputs.policy.windows),
        guard=risk.guard(phase.baseline),
    )
    history = dataclasses.replace(state.history, trial_id=number)
    return dataclasses.replace(state, phase=dataclasses.replace(phase, trial=trial), history=history)


def guards(inputs: Inputs) -> bool:
    """Tell whether a server guards the steps of a climb."""
    return _only_report(inputs) is not None


def can_undo(best: Settings, target: Settings) -> bool:
    """Tell whether a server goes back from the target to the best step without any new process."""
    if target.worker_class is not best.worker_class or target.workers < best.workers or target.slots <= best.slots:
        return False
    return target.slots_per_worker == best.slots_per_worker or target.worker_class in GROWS_IN_PLACE


def ended(inputs: Inputs, phase: Climbing) -> StepVerdict | None:
    """Return the verdict on a step that the server has ended, None where it has not."""
    report, trial = _only_report(inputs), phase.trial
    if trial is None or report is None or report.id < trial.id:
        return None
    if report.id == trial.id and (report.state in IN_PROGRESS or report.state == "confirmed"):
        return None
    target = phase.change.target
    reason = HARM.get(report.state) if report.id == trial.id else None
    if reason is not None:
        message = f"the server went back by itself ({report.state})"
        return StepVerdict(Outcome.HARM, reason, message)
    message = f"the server did not run {target} to the end of the step ({report.state})"
    return StepVerdict(Outcome.HARM, Reason.APPLY_TIMED_OUT, message)


def _only_report(inputs: Inputs) -> TrialSeen | None:
    """Return what the only server reports of trials; None where there are several, or it does not know trials."""
    if inputs.can_canary or inputs.trials is None or len(inputs.observations) != 1:
        return None
    return inputs.trials.get(next(iter(inputs.observations)))
