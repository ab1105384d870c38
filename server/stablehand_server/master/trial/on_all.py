"""The master's part of a trial on all workers: they change in place, and back as soon as that harms.

What is on trial is the target as long as the trial lasts, so a worker that is replaced meanwhile runs it too. The
comparison is with what the same server served before (`earlier`).
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.master.rollover import Rollover
from stablehand_server.master.trial import deeds
from stablehand_server.master.trial.change_guard import ChangeGuard
from stablehand_server.master.trial.earlier import Earlier
from stablehand_server.shared_memory import Cell

if TYPE_CHECKING:
    from stablehand_server.master.generation import Generation
    from stablehand_server.master.supervisor import Ending
    from stablehand_server.master.trial.earlier import Served
    from stablehand_server.workers.common.base import MeasuredWorker
    from stablehand_tuner.contracts.trial import Trial

HARM = frozenset({"failed", "changed", "unshared", "late", "unserved"})
# The next request of an idle connection would fail too; if late, it only waits.
NEXT_ONE_FAILS = frozenset({"failed", "changed", "unshared", "unserved"})
_PASS_SECONDS = 0.025
_SHORTEST_PASS_SECONDS = 0.01
_SECONDS_AT_FIRST = 5.0
_SETTLING_SECONDS = 1.0  # after a trial, in which its last requests finish
_TOLD = frozenset({"retired", "max_requests"})  # reasons of a worker's end that are none for the trial's


@dataclasses.dataclass(frozen=True)
class Asked:
    """A trial that the settings file asks for, and what would run."""

    trial: Trial
    generation: Generation


@dataclasses.dataclass
class _Run:
    """A trial that has begun; `former` is what to go back to, `since` what was served since all workers were ready."""

    trial: Trial
    generation: Generation
    former: Generation
    guard: ChangeGuard
    began_at: float
    since: Earlier = dataclasses.field(default_factory=Earlier)
    all_are_ready: bool = False


class TrialsOnAll(Rollover):
    """Runs at most one trial on all workers."""

    def __init__(self, app: Any) -> None:
        self._on_all: _Run | None = None
        self._earlier = Earlier()
        self._notes_from = 0.0
        super().__init__(app)
        self._deeds = deeds.ServerDeeds(self.slots)

    @property
    def all_are_on_trial(self) -> bool:
        """Whether a trial on all workers is in progress."""
        return self._on_all is not None

    @property
    def trial_on_all(self) -> Trial | None:
        """That trial."""
        return None if self._on_all is None else self._on_all.trial

    @property
    def trial_runs(self) -> bool:
        """Whether any trial is in progress."""
        return self.all_are_on_trial

    @property
    def seconds_between_looks(self) -> float:
        """How long the master may wait between two looks at a trial: more requests than come in that time may fail.

        Where all workers change at once, that is most of them, and at first, if ever.
        """
        run = self._on_all
        is_new = run is not None and time.monotonic() - run.began_at < _SECONDS_AT_FIRST
        return _SHORTEST_PASS_SECONDS if is_new else _PASS_SECONDS

    def trial_begins(self) -> None:
        """React to the moment at which another worker than before serves, or serves something else."""

    def all_go_on_with(self, wanted: Generation, asked: Asked | None) -> bool:
        """Return whether the trial on all workers goes on with this content of the file; if not, it has ended."""
        run = self._on_all
        if run is None:
            return False
        if asked is not None and asked.trial == run.trial and _are_alike(wanted, run.former):
            return True
        if _are_alike(wanted, run.generation):
            self.finish_on_all("confirmed", f"{wanted.origin} asks for {wanted}")
        else:
            self.finish_on_all("withdrawn", f"{wanted.origin} asks for something else")
        return False

    def begin_on_all(self, asked: Asked) -> None:
        """Have all workers run what is on trial."""
        former, now = self._switching.target, time.monotonic()
        served = self._served(now)
        self._earlier.note(served, now)
        tried = dataclasses.replace(asked.generation, number=former.number)
        guard = ChangeGuard(asked.trial, self._earlier.periods, served)
        self._on_all = _Run(asked.trial, tried, former, guard, now)
        self.log.info("Trial %d: all workers run %s instead of %s", asked.trial.id, tried, former)
        self.counts_change = False
        self.begin_change(tried, replaced=0)
        self._mark(1.0)

    def look_on_all(self) -> None:
        """Look at the trial on all workers."""
        run, now = self._on_all, time.monotonic()
        if run is None:
            return
        self._mark(1.0)  # also those that have come since the last look
        served = self._served(now)
        if self._switching.settled and not run.all_are_ready:
            run.all_are_ready = True
            run.guard.begin_time(now)
            self.slots.note_trial("running")
            self.log.info("Trial %d runs in all workers", run.trial.id)
            if run.generation.workers > run.former.workers:
                self.trial_begins()
        if run.all_are_ready and run.since.is_due(now):
            run.since.note(served, now)
        verdict = run.guard.look(served, now)
        if verdict is not None:
            self.finish_on_all(*verdict)

    def finish_on_all(self, outcome: str, why: str) -> None:
        """End the trial on all workers, if there is one; go back, unless it is confirmed."""
        run, self._on_all = self._on_all, None
        if run is None:
            return
        self.slots.note_trial(outcome)
        tell = self.log.error if outcome in HARM else self.log.info
        tell("Trial %d of %s on all workers has ended (%s): %s", run.trial.id, run.generation, outcome, why)
        self._mark(0.0)
        if outcome == "confirmed":
            self._earlier = run.since
            if self._switching.settled:
                self.slots.count_switch("done")
            self.counts_change = True
            return
        self._notes_from = time.monotonic() + _SETTLING_SECONDS
        staying = sorted((each for each in self.WORKERS.values() if each.retiring_since is None), key=lambda w: w.age)
        for worker in staying[run.former.workers :]:
            worker.superseded = True
            worker.assignment.record.cells[Cell.CLOSES_AT_ONCE] = float(outcome in NEXT_ONE_FAILS)
        self.begin_change(run.former, replaced=0)
        self.log.info("All workers run %s again", run.former)

    def note_what_is_served(self) -> None:
        """Keep what the server serves while nothing is on trial, to compare with."""
        now = time.monotonic()
        if self.trial_runs or not self._switching.settled or now < self._notes_from:
            self._earlier.pause()
        elif self._earlier.is_due(now):
            self._earlier.note(self._served(now), now)

    def switched(self) -> None:
        """Note that the target is complete; what was served before it is nothing to compare with."""
        super().switched()
        if self.counts_change:
            self._earlier = Earlier()

    def worker_ended(self, worker: MeasuredWorker, ending: Ending) -> None:
        """End the trial on all workers if one of them ends without having been told."""
        if self.all_are_on_trial and not self._stopping and ending.reason not in _TOLD and not worker.retiring_since:
            self.finish_on_all("died" if worker.ready else "boot_failure", f"worker {worker.pid}: {ending.why}")
            if not worker.ready:
                return
        super().worker_ended(worker, ending)

    def _served(self, now: float) -> Served:
        return self._deeds.so_far((each.assignment.record for each in self.WORKERS.values()), now)

    def _mark(self, on_trial: float) -> None:
        for worker in self.WORKERS.values():
            if worker.retiring_since is None:
                worker.assignment.record.cells[Cell.ON_TRIAL] = on_trial


def _are_alike(one: Generation, other: Generation) -> bool:
    """Return whether two generations have as many workers, and nothing that their class uses differs."""
    if one.settings is None or other.settings is None or one.workers != other.workers:
        return False
    return one.runs_in_place(other.settings) and one.holds_at_most(other.settings) and other.holds_at_most(one.settings)
