"""The master's part of a trial: one worker runs something else beside its siblings, until it ends.

The worker on trial has the last index; with a single worker, the one after it. It boots beside the others, as a new
generation's first worker does, and the oldest of them retires when it is ready. When the trial has ended, the plan of a
rolling switch replaces it by an ordinary worker.

A worker that fails is quick, and would accept more connections than all of its siblings before anyone has noticed. So
it begins with few slots, and has twice as many each second, where its class can change that while it serves.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.master import generation, lifecycle
from stablehand_server.master.trial import answers, deeds
from stablehand_server.master.trial.changed_answers import watched
from stablehand_server.master.trial.guard import TrialGuard
from stablehand_server.master.trial.on_all import HARM, NEXT_ONE_FAILS, Asked, TrialsOnAll
from stablehand_server.shared_memory import Cell, Server, State
from stablehand_server.workers.common.base import IN_PLACE
from stablehand_tuner.contracts.trial import Trial, TrialOn

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_server.master.generation import Generation
    from stablehand_server.master.rolling_plan import LivingWorker
    from stablehand_server.master.supervisor import Ending
    from stablehand_server.master.trial.answers import Answers
    from stablehand_server.workers.common.base import MeasuredWorker
    from stablehand_tuner.contracts.settings import Settings

_AT_FIRST = {"threads": 4, "worker_connections": 12}
_SECONDS_TO_DOUBLE = 1.0


@dataclasses.dataclass
class _Run:
    """A trial that has begun; `guard` watches from the moment at which its worker is ready."""

    trial: Trial
    generation: Generation
    goes_first: bool  # the worker that it replaces, for there is no memory for both
    worker: MeasuredWorker | None = None
    before: Answers = answers.NONE  # what the server had answered before that worker was there
    guard: TrialGuard | None = None
    ready_at: float = 0.0


class Trials(TrialsOnAll):
    """Runs at most one trial at a time, and each only once."""

    def __init__(self, app: Any) -> None:
        self._asked: tuple[Asked, Generation] | None = None  # and for which target: it begins once that is complete
        self._run: _Run | None = None
        super().__init__(app)

    @property
    def trial_runs(self) -> bool:
        """Whether a trial is in progress."""
        return self._run is not None or self.all_are_on_trial

    # What the settings file asks for ----------------------------------------------------------------------------------

    def follow_file(self, wanted: Generation, asked: Asked | None) -> None:
        """Do what the settings file asks for."""
        if not self.all_go_on_with(wanted, asked):
            self.switch_to(wanted)
            self.follow_trial(asked)

    def follow_trial(self, asked: Asked | None) -> None:
        """Begin the trial that the settings file asks for now, go on with it, or end another one."""
        known = self._asked[0].trial if self._asked else self._run.trial if self._run else self.trial_on_all
        if asked is not None and asked.trial == known:
            return
        self.withdraw_trial("the settings file asks for something else")
        if asked is None:
            return
        last = int(self.slots.server[Server.TRIAL_ID])
        if asked.trial.id <= last:
            self.log.info("Trial %d is not run: the last one had the id %d, and ids grow", asked.trial.id, last)
            return
        self.slots.server[Server.TRIAL_ID] = float(asked.trial.id)
        self.slots.note_trial("booting")
        self._asked = asked, self._switching.target

    def skip_trial(self, asked: Asked | None) -> None:
        """Do not run the trial of a file that is read when the server starts: it may be why the last one ended."""
        if asked is not None and asked.trial.id > self.slots.server[Server.TRIAL_ID]:
            self.slots.server[Server.TRIAL_ID] = float(asked.trial.id)
            self._not_started(asked.trial, "it was in the settings file already when the server started")

    def withdraw_trial(self, why: str) -> None:
        """End the trial, if there is one: something else is wanted."""
        if self._asked is not None:
            (asked, _), self._asked = self._asked, None
            self._not_started(asked.trial, why)
        if self._run is not None:
            self._finish(self._run, "withdrawn", why)
        self.finish_on_all("withdrawn", why)

    def number_for(self, settings: Settings) -> int:
        """Return the generation number for the settings: the worker on trial stays if they are what it runs."""
        number, run = self._switching.number_for(settings), self._run
        if number == self._switching.next_number and run is not None and _has_shown(run, settings):
            return run.generation.number
        return number

    def switch_to(self, wanted: Generation, *, anew: bool = False) -> None:
        """Set the wanted generation; a trial ends if that is another one."""
        if anew or not self._switching.is_wanted_already(wanted):
            run = self._run
            if run is not None and wanted.settings is not None and not anew and _has_shown(run, wanted.settings):
                self._finish(run, "confirmed", f"{wanted.origin} asks for {wanted}")
            self.withdraw_trial(f"{wanted.origin} asks for something else")
        super().switch_to(wanted, anew=anew)

    # Each pass --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at the trial, and take one step from the running workers towards those that are wanted."""
        self.note_first_heartbeats()
        self.note_untold_retirements()
        if self.all_are_on_trial:
            self.look_on_all()
        elif self._run is None:
            self._begin_if_due()
        else:
            self._look(self._run)
        self.note_what_is_served()
        super().step()

    def living(self) -> list[LivingWorker]:
        """Return the workers as the plan represents them: without the one on trial, which it leaves alone."""
        run = self._run
        pid = run.worker.pid if run is not None and run.worker is not None else None
        return [each for each in super().living() if each.pid != pid]

    def workers_of_target(self) -> int:
        """Return how many workers of the target are wanted: one of them gives way to a trial."""
        wanted, run = super().workers_of_target(), self._run
        gives_way = run is not None and (run.guard is not None or run.goes_first)
        return wanted - 1 if gives_way and wanted > 1 else wanted

    def workers_replaced(self, workers: Collection[LivingWorker]) -> int:
        """Return how many workers of other generations serve until their successors are ready."""
        if not self._switching.settled:
            return super().workers_replaced(workers)
        return sum(each.state is State.READY for each in self._of_others(workers))

    def replaces(self, workers: Collection[LivingWorker]) -> bool:
        """Return whether some worker is to be replaced, as is one whose trial has ended."""
        return super().replaces(workers) or bool(self._of_others(workers))

    def worker_ended(self, worker: MeasuredWorker, ending: Ending) -> None:
        """End a trial whose worker has ended."""
        run = self._run
        if run is None or run.worker is not worker:
            super().worker_ended(worker, ending)
        elif not self._stopping:
            self._finish(run, "died" if worker.ready else "boot_failure", ending.why)

    def _of_others(self, workers: Collection[LivingWorker]) -> list[LivingWorker]:
        return [each for each in workers if each.generation != self._switching.target.number]

    # A trial's life ---------------------------------------------------------------------------------------------------

    def _begin_if_due(self) -> None:
        if self._asked is None or self.paused:
            return
        asked, target = self._asked
        if target is not self._switching.target:  # it has been rolled back
            self.withdraw_trial(f"{target} does not run")
            return
        if not self._switching.settled:
            return
        serving = [pid for pid, each in self.WORKERS.items() if lifecycle.state(each) is not State.BOOTING]
        surge = self._memory.surge(serving)
        if asked.trial.on is TrialOn.ALL:
            if asked.trial.workers > target.workers and not surge:
                self.withdraw_trial("there is no memory for another process")
                return
            self._asked = None
            self.begin_on_all(asked)
            return
        if target.workers == 1 and not surge:
            self.withdraw_trial("there is no memory for a process beside the only worker")
            return
        tried = dataclasses.replace(asked.generation, number=self._switching.take_number())
        self._asked, self._run = None, _Run(asked.trial, tried, goes_first=not surge)
        self.log.info("Trial %d: one worker runs %s, the others %s", asked.trial.id, _in_short(tried), target)
        self._look(self._run)

    def _look(self, run: _Run) -> None:
        worker = run.worker
        if worker is None:
            self._spawn(run)
        elif worker.retiring_since is not None:
            if worker.assignment.record.cells[Cell.REACHED_MAX_REQUESTS]:
                self._finish(run, "expired", "its worker has served its --max-requests")
            else:
                self._finish(run, "died", "its worker was told to end")
        elif worker.ready:
            self._watch(run, worker)

    def _spawn(self, run: _Run) -> None:
        target = self._switching.target
        waits = run.goes_first and len(self.WORKERS) >= target.workers
        if waits or self._stopping or not self._respawning.over(time.monotonic()):
            return
        run.before = deeds.of_all(
            self.slots
        )  # not later: the worker may serve before the master knows that it is ready
        pid = self.spawn_worker(max(1, target.workers - 1), _with_few_slots(run.generation))
        if pid is not None:
            run.worker = self.WORKERS[pid]
            cells = run.worker.assignment.record.cells
            cells[Cell.ON_TRIAL], cells[Cell.UNUSUAL] = 1.0, answers.bitmap(watched(run.before))

    def _watch(self, run: _Run, worker: MeasuredWorker) -> None:
        now = time.monotonic()
        if run.guard is None:
            was_alone = self._switching.target.workers == 1
            run.guard, run.ready_at = TrialGuard(run.trial, run.before, now, was_alone=was_alone), now
            self.slots.note_trial("running")
            self.log.info("Trial %d runs in worker %s (pid:%s)", run.trial.id, lifecycle.index(worker), worker.pid)
            self.trial_begins()
        short = run.trial.guard.unserved_seconds
        siblings = {
            each.age: deeds.of_worker(each.assignment.record.cells, short, now)
            for each in self.WORKERS.values()
            if each is not worker and lifecycle.state(each) is State.READY
        }
        verdict = run.guard.look(deeds.of_worker(worker.assignment.record.cells, short, now), siblings, now)
        if verdict is not None:
            self._finish(run, *verdict)
            return
        for name, number in _slots_after(now - run.ready_at, run.generation).items():
            worker.assignment.record.cells[IN_PLACE[name]] = float(number)

    def _finish(self, run: _Run, outcome: str, why: str) -> None:
        """End a trial; what harms serves nothing from now on, everything else serves until its successor is ready."""
        self._run = None
        self.slots.note_trial(outcome)
        tell = self.log.error if outcome in HARM else self.log.info
        tell("Trial %d of %s has ended (%s): %s", run.trial.id, _in_short(run.generation), outcome, why)
        worker = run.worker
        if worker is None or worker.pid not in self.WORKERS:
            return
        if outcome not in HARM:
            worker.assignment.record.cells[Cell.ON_TRIAL] = 0.0
            return
        worker.assignment.record.cells[Cell.CLOSES_AT_ONCE] = float(outcome in NEXT_ONE_FAILS)
        if outcome == "unserved":  # what does not finish may never do
            lifecycle.note_retirement(worker, time.monotonic() + float(self.cfg.graceful_timeout))
        self.retire_worker(worker.pid)

    def _not_started(self, trial: Trial, why: str) -> None:
        self.slots.note_trial("not_started")
        self.log.warning("Trial %d is not run: %s", trial.id, why)


def _has_shown(run: _Run, settings: Settings) -> bool:
    """Return whether the worker on trial serves, and has shown what the settings are like: they ask for no less."""
    tried = run.generation
    return run.guard is not None and tried.runs_in_place(settings) and tried.holds_at_most(settings)


def _with_few_slots(tried: Generation) -> Generation:
    """Return what is on trial with as many slots as its worker has at first."""
    config = generation.copied(tried.config)
    for name, number in _slots_after(0.0, tried).items():
        config.set(name, number)
    return dataclasses.replace(tried, config=config)


def _slots_after(seconds: float, tried: Generation) -> dict[str, int]:
    """Return how many threads and connections the worker may have after so many seconds, if these change in place."""
    factor = 2 ** int(seconds / _SECONDS_TO_DOUBLE)
    return {
        name: min(first * factor, getattr(tried.config, name))
        for name, first in _AT_FIRST.items()
        if name in tried.worker_class.changes_in_place
    }


def _in_short(tried: Generation) -> str:
    return str(tried) if tried.settings is None else str(dataclasses.replace(tried.settings, workers=1))
