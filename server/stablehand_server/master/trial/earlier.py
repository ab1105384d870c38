"""What the server has served lately, kept for the comparison with a change of all workers. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from stablehand_server.master.trial.comparison import Requests
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS

_KEPT_SECONDS = 120.0
_SECONDS_BETWEEN_NOTES = 0.5


class Served(NamedTuple):
    """What all workers have done since the server started.

    Attributes:
        finished: requests.
        failed: of those.
        busy: how many are inside the app.
        late: by how many seconds the timer of a worker's loop is late at present, at most.
        durations: how many took how long, by DURATION_BUCKETS.
        seconds: that all of them took.
    """

    finished: float
    failed: float
    busy: float
    late: float
    durations: tuple[float, ...]
    seconds: float

    def so_far(self) -> Requests:
        """Return the requests that have begun; one inside the app has not failed so far."""
        return Requests(self.failed, max(0.0, self.finished + self.busy - self.failed))


class Period(NamedTuple):
    """What was served in some time."""

    ended_at: float
    requests: Requests
    durations: tuple[float, ...]
    seconds: float  # of the requests that finished
    busy_seconds: float  # inside the app, of all
    late: float

    def short_seconds(self, short: float) -> float:
        """Return the time that those took, at most, that took no longer than `short` seconds."""
        bounds = DURATION_BUCKETS[: bisect_right(DURATION_BUCKETS, short)]
        return min(self.seconds, sum(bound * count for bound, count in zip(bounds, self.durations, strict=False)))


class Earlier:
    """The last two minutes, without those in which something else ran; `now` is time.monotonic()."""

    def __init__(self) -> None:
        self.periods: deque[Period] = deque()
        self._last: tuple[float, Served] | None = None

    def is_due(self, now: float) -> bool:
        """Return whether it is time for another note."""
        return self._last is None or now - self._last[0] >= _SECONDS_BETWEEN_NOTES

    def note(self, served: Served, now: float) -> None:
        """Take up the present."""
        last, self._last = self._last, (now, served)
        while self.periods and now - self.periods[0].ended_at > _KEPT_SECONDS:
            self.periods.popleft()
        if last is None:
            return
        then, before = last
        finished = served.finished - before.finished
        failed = min(finished, served.failed - before.failed)
        took = served.seconds - before.seconds
        self.periods.append(
            Period(
                now,
                Requests(failed, finished - failed),
                tuple(after - earlier for after, earlier in zip(served.durations, before.durations, strict=True)),
                took,
                # Requests that are over between two looks are seen by none of them.
                max(took, (now - then) * (before.busy + served.busy) / 2.0),
                max(before.late, served.late),
            )
        )

    def pause(self) -> None:
        """Leave out what is served from now until the next note."""
        self._last = None
