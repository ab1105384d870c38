"""Do requests inside the worker on trial never finish, although the siblings' do?

If none has finished for so many seconds, each that is inside has been there for as long. Some apps have requests that
take as long under all settings: long polls, reports. How probable is it to find only such ones inside a worker? As
probable as each slot is in one at a given time, to the power of their number (a binomial test): that is the share of
the siblings' time inside the app for which short requests do not account, finished or not.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

LEVEL = 0.001  # the probability that chance alone ends a harmless trial
# As if the siblings had also had one request that lasted for so many times the seconds of the test: what they have not
# had so far may be rare.
_UNSEEN = 2.0
_SECONDS_BETWEEN_KEPT_LOOKS = 0.1


class Moment(NamedTuple):
    """What one worker had done at a moment: requests finished, and inside the app.

    `short_seconds` is the time that those took, in all, that finished within the seconds of the test.
    """

    finished: float
    busy: float
    short_seconds: float = 0.0


class _Look(NamedTuple):
    at: float
    trial: Moment


class Standstill:
    """Compares the present with the moment `seconds` ago.

    Args:
        seconds: for how long nothing may finish.
        busy_seconds: that requests have spent inside the app, of those to compare with.
        short_seconds: of those, what finished within `seconds`.
    """

    def __init__(self, seconds: float, *, busy_seconds: float = 0.0, short_seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._looks: deque[_Look] = deque()  # from that moment on
        self._before: dict[int, Moment] = {}
        self._looked_at: float | None = None
        self._busy_seconds, self._short_seconds = busy_seconds, short_seconds  # and of the siblings

    def look(self, trial: Moment, siblings: dict[int, Moment], now: float) -> bool:
        """Take up the present, siblings by a number of their process; return whether the trial stands still."""
        self._add_up(siblings, now)
        if not self._looks or now - self._looks[-1].at >= _SECONDS_BETWEEN_KEPT_LOOKS:
            self._looks.append(_Look(now, trial))
        while len(self._looks) > 1 and now - self._looks[1].at >= self._seconds:
            self._looks.popleft()
        then = self._looks[0]
        waiting = min(then.trial.busy, trial.busy)
        if now - then.at < self._seconds or trial.finished > then.trial.finished or waiting < 1:
            return False
        unseen = _UNSEEN * self._seconds
        long_seconds = max(0.0, self._busy_seconds - self._short_seconds) + unseen
        share = long_seconds / (self._busy_seconds + unseen)
        return bool(share**waiting <= LEVEL)

    def _add_up(self, siblings: dict[int, Moment], now: float) -> None:
        since = 0.0 if self._looked_at is None else now - self._looked_at
        for process in self._before.keys() & siblings.keys():
            before, moment = self._before[process], siblings[process]
            short = moment.short_seconds - before.short_seconds
            self._short_seconds += short
            # Requests that are over between two looks are seen by none of them.
            self._busy_seconds += max(short, since * (before.busy + moment.busy) / 2.0)
        self._before, self._looked_at = siblings, now
