"""The guard of a trial on all workers: from what the server has done before and since, says when it is to end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_server.master.trial.before_and_after import BeforeAndAfter
from stablehand_server.master.trial.comparison import NONE, Requests
from stablehand_server.master.trial.guard import Verdict
from stablehand_server.master.trial.lateness import LONGEST_LATE_SECONDS, Lateness
from stablehand_server.master.trial.standstill import Moment, Standstill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_server.master.trial.earlier import Period, Served
    from stablehand_tuner.contracts.trial import Trial


class ChangeGuard:
    """Watches one trial, from the moment at which the workers are told.

    Args:
        trial: what the settings file says.
        earlier: what the server served before, in the order of time.
        served: what it has done so far.
    """

    def __init__(self, trial: Trial, earlier: Sequence[Period], served: Served) -> None:
        limits = trial.guard
        self._trial = trial
        self._ends_at: float | None = None
        self._comparison = BeforeAndAfter(limits.failed_share, [each.requests for each in earlier])
        self._lateness = Lateness(limits.late_seconds)
        self._late_before = max((each.late for each in earlier), default=0.0)
        short = sum(each.short_seconds(limits.unserved_seconds) for each in earlier)
        busy = sum(each.busy_seconds for each in earlier)
        self._standstill = Standstill(limits.unserved_seconds, busy_seconds=busy, short_seconds=short)
        self._counted = self._at_first = served.so_far()
        self._before = NONE
        for each in earlier:
            self._before = self._before.plus(each.requests)

    def begin_time(self, now: float) -> None:
        """Count the trial's time from now on: all workers are ready."""
        self._ends_at = now + self._trial.seconds

    def look(self, served: Served, now: float) -> Verdict | None:
        """Take up the present; return why the trial has to end, or None."""
        self._comparison.add(self._newly(served), now)
        self._lateness.look(served.late, self._late_before, now)
        stands = self._standstill.look(Moment(served.finished, served.busy), {}, now)
        limits = self._trial.guard
        if self._comparison.harms:
            failed, all_since = served.failed - self._at_first.failed, served.so_far().all - self._at_first.all
            return Verdict(
                "failed",
                f"{failed:.0f} of {all_since:.0f} requests failed since it began, and {self._before.failed:.0f} of "
                f"{self._before.all:.0f} before",
            )
        if self._lateness.harms:
            late = limits.late_seconds
            return Verdict("late", f"an event loop was more than {late:g} s late for {LONGEST_LATE_SECONDS:g} s in all")
        if stands:
            seconds = limits.unserved_seconds
            return Verdict("unserved", f"none of {served.busy:.0f} requests finished for {seconds:g} s")
        if self._ends_at is not None and now >= self._ends_at:
            return Verdict("expired", f"nobody confirmed it within {self._trial.seconds:g} s")
        return None

    def _newly(self, served: Served) -> Requests:
        failed, good = served.so_far()
        before = self._counted
        self._counted = Requests(max(failed, before.failed), max(good, before.good))
        return Requests(max(0.0, failed - before.failed), max(0.0, good - before.good))
