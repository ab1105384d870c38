"""Steps of a climb that each server guards by itself, and undoes within tenths of a second where requests fail.

The tuner sees a server once a second, and a step that meets a limit, such as a database's, fails many requests in that
time. So a step is a trial on all workers, where it can be undone in place: the file has the best step before it, which
the server goes back to, also when nobody tunes it any more, and the next step confirms it. Where one of several servers
goes back, the others do with the next file.
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
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.trial_seen import TrialSeen

NOT_STARTED, EXPIRED = "not_started", "expired"
GOES_ON = frozenset({*IN_PROGRESS, "confirmed"})
GROWS_IN_PLACE = frozenset({WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI})


def with_guard(inputs: Inputs, before: TunerState, state: TunerState) -> TunerState:
    """Return the state with a guard for the step of a climb that has just begun, if every server can guard it.

    While a canary still has settings of its own, its siblings cannot be given the same as a trial.

    Args:
        inputs: the step's.
        before: the state before it.
        state: the state after it.
    """
    phase, reports = state.phase, _reports(inputs)
    if not isinstance(phase, Climbing) or phase.trial is not None or phase.pod is not None or not reports:
        return state
    earlier = before.phase
    begins = not isinstance(earlier, Climbing) or earlier.change != phase.change
    best, target = phase.climb.best, phase.change.target
    if not begins or not can_undo(best, target):
        return state
    number = max(state.history.trial_id, *(report.id for report in reports.values())) + 1
    trial = Trial(
        id=number,
        on=TrialOn.ALL,
        worker_class=target.worker_class,
        workers=target.workers,
        threads=target.threads,
        worker_connections=target.worker_connections,
        seconds=risk.step_seconds(inputs.policy.windows, servers=len(reports)),
        guard=risk.guard(phase.baseline),
    )
    history = dataclasses.replace(state.history, trial_id=number)
    return dataclasses.replace(state, phase=dataclasses.replace(phase, trial=trial), history=history)


def guards(inputs: Inputs) -> bool:
    """Tell whether the servers guard the steps of a climb."""
    return bool(_reports(inputs))


def can_undo(best: Settings, target: Settings) -> bool:
    """Tell whether a server goes back from the target to the best step without any new process."""
    if target.worker_class is not best.worker_class or target.workers < best.workers or target.slots <= best.slots:
        return False
    return target.slots_per_worker == best.slots_per_worker or target.worker_class in GROWS_IN_PLACE


def ended(inputs: Inputs, phase: Climbing) -> StepVerdict | None:
    """Return the verdict on a step that a server has ended, None where none has."""
    trial, target, reports = phase.trial, phase.change.target, _reports(inputs)
    if trial is None or not reports:
        return None
    ours = [report for report in reports.values() if report.id == trial.id and report.state not in GOES_ON]
    for report in ours:
        reason = HARM.get(report.state)
        if reason is not None:
            return StepVerdict(Outcome.HARM, reason, f"{_whose(reports)} went back by itself ({report.state})")
    over = [*ours, *(report for report in reports.values() if report.id > trial.id)]
    if not over:
        return None
    message = f"{_whose(reports)} did not run {target} to the end of the step ({over[0].state})"
    # nobody was there to confirm it: that is no fault of the settings
    is_unjudged = all(report.state == EXPIRED for report in over)
    return StepVerdict(Outcome.HARM, Reason.WORKER_TRIAL_UNDECIDED if is_unjudged else Reason.APPLY_TIMED_OUT, message)


def without_latecomers(inputs: Inputs, phase: Climbing) -> Climbing:
    """Return the phase without its guard where one of several servers has only just started, and runs no trial then."""
    trial, reports = phase.trial, _reports(inputs)
    if trial is None or not reports or len(reports) == 1:
        return phase
    came = any(report.id == trial.id and report.state == NOT_STARTED for report in reports.values())
    return dataclasses.replace(phase, trial=None) if came else phase


def _whose(reports: Mapping[str, TrialSeen]) -> str:
    return "the server" if len(reports) == 1 else f"one of {len(reports)} servers"


def _reports(inputs: Inputs) -> Mapping[str, TrialSeen]:
    """Return what the servers report of trials; nothing where one that can be observed does not know trials."""
    trials = inputs.trials or {}
    if any(pod not in trials for pod, seen in inputs.observations.items() if seen is not None):
        return {}
    return {pod: trials[pod] for pod in inputs.observations if pod in trials}
