"""The guard of a trial: from what the worker on trial and its siblings have done, says when it is to end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stablehand_server.master.trial import answers
from stablehand_server.master.trial.answers import FAILED, Answers
from stablehand_server.master.trial.changed_answers import ChangedAnswers
from stablehand_server.master.trial.comparison import NONE, Comparison, Requests
from stablehand_server.master.trial.lateness import LONGEST_LATE_SECONDS, Lateness
from stablehand_server.master.trial.standstill import Moment, Standstill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.trial import Trial


class Deeds(NamedTuple):
    """What one worker has done so far: requests finished, failed, and inside its app.

    `short_seconds` is the time that those took, in all, that finished within the guard's `unserved_seconds`; `late` is
    by how many seconds the timer of its loop is late at present. `answers` are the finished requests by kind, and
    `clients` is how many clients got an unusual one, at least.
    """

    finished: float
    failed: float
    busy: float
    short_seconds: float = 0.0
    late: float = 0.0
    answers: Answers = answers.NONE
    clients: int = 0


class Verdict(NamedTuple):
    """Why a trial ends: one of TRIAL_OUTCOMES, and a sentence about the worker on trial."""

    outcome: str
    why: str


class TrialGuard:
    """Watches one trial, from the moment at which its worker is ready.

    Args:
        trial: what the settings file says.
        earlier: what the server has answered before.
        now: that moment, in seconds.
        was_alone: whether the worker on trial serves beside what was the only worker.
    """

    def __init__(self, trial: Trial, earlier: Answers, now: float, *, was_alone: bool = False) -> None:
        self._trial = trial
        self._ends_at = now + trial.seconds
        limits = trial.guard
        self._comparison = Comparison(limits.failed_share, earlier.split(FAILED))
        self._changed = ChangedAnswers(earlier, was_alone=was_alone)
        self._lateness = Lateness(limits.late_seconds)
        self._standstill = Standstill(limits.unserved_seconds)
        self._own = _Tally(NONE)
        self._siblings: dict[int, _Tally] = {}
        self._of_siblings = NONE  # all that they have served since then

    def look(self, trial: Deeds, siblings: Mapping[int, Deeds], now: float) -> Verdict | None:
        """Take up the present, siblings by a number of their process; return why the trial has to end, or None."""
        own, theirs = self._own.newly(trial), self._newly_by_siblings(siblings)
        self._of_siblings = self._of_siblings.plus(theirs)
        self._comparison.add(own, theirs, now)
        self._changed.look(trial.answers, trial.clients, {age: each.answers for age, each in siblings.items()}, now)
        self._lateness.look(trial.late, max((each.late for each in siblings.values()), default=0.0), now)
        stands = self._standstill.look(_moment(trial), {age: _moment(each) for age, each in siblings.items()}, now)
        verdicts = (
            Verdict("failed", self._failed(trial)),
            Verdict("unshared", self._changed.differ_since_then),
            Verdict("changed", self._changed.differ),
            Verdict("late", self._late()),
            Verdict("unserved", self._unserved(trial) if stands else ""),
            Verdict("expired", self._expired(now)),
        )
        return next((each for each in verdicts if each.why), None)

    def _failed(self, trial: Deeds) -> str:
        if not self._comparison.harms:
            return ""
        served, failed = self._of_siblings.all, self._of_siblings.failed
        return (
            f"it failed {trial.failed:.0f} of {trial.finished + trial.busy:.0f} requests, and its siblings "
            f"{failed:.0f} of {served:.0f} meanwhile"
        )

    def _late(self) -> str:
        if not self._lateness.harms:
            return ""
        late = self._trial.guard.late_seconds
        return f"its event loop was more than {late:g} s late for {LONGEST_LATE_SECONDS:g} s in all"

    def _unserved(self, trial: Deeds) -> str:
        seconds = self._trial.guard.unserved_seconds
        return f"none of its {trial.busy:.0f} requests finished for {seconds:g} s, and those of its siblings do"

    def _expired(self, now: float) -> str:
        return f"nobody confirmed it within {self._trial.seconds:g} s" if now >= self._ends_at else ""

    def _newly_by_siblings(self, siblings: Mapping[int, Deeds]) -> Requests:
        tallies = {age: self._siblings.get(age) or _Tally(_so_far(deeds)) for age, deeds in siblings.items()}
        self._siblings = tallies
        total = NONE
        for age, deeds in siblings.items():
            total = total.plus(tallies[age].newly(deeds))
        return total


class _Tally:
    """What has been counted of one worker.

    A request counts when it begins, as good: a worker that has just begun to serve finishes only quick requests at
    first, and failures may be quick. If it fails later, one good request less is counted next time.
    """

    def __init__(self, counted: Requests) -> None:
        self._failed, self._good = counted

    def newly(self, deeds: Deeds) -> Requests:
        """Return what is new since the last call."""
        failed, good = _so_far(deeds)
        new = Requests(max(0.0, failed - self._failed), max(0.0, good - self._good))
        self._failed, self._good = max(failed, self._failed), max(good, self._good)
        return new


def _so_far(deeds: Deeds) -> Requests:
    return Requests(deeds.failed, max(0.0, deeds.finished + deeds.busy - deeds.failed))


def _moment(deeds: Deeds) -> Moment:
    return Moment(deeds.finished, deeds.busy, deeds.short_seconds)
