"""How many connections each worker should have at most, so that kept ones spread over all of them.

A client that keeps its connection stays with the worker that accepted it: an additional worker would get no clients,
and after a change of generation the worker that booted first has nearly all. So a worker above its share announces
the end of some connections (`Connection: close` on a response, which no client treats as a failure), and the clients
reconnect to a worker that is free.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_server.shared_memory import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stablehand_server.shared_memory import Record

_UNEVEN = 1.1  # times the mean, and
_UNEVEN_BEYOND = 1.0  # so many connections more
_STANDS_SECONDS = 1.5  # longer than the interval between heartbeats of any class
_SHORTEST_PAUSE_SECONDS = 3.0
_LONGEST_PAUSE_SECONDS = 60.0
NO_SHARE = 0.0
_LEAST = 1.0


def share(connections: Sequence[float]) -> float:
    """Return how many connections a worker should have at most, or 0 where they are spread evenly enough."""
    if len(connections) < 2:  # noqa: PLR2004 (a single worker has no one to share with)
        return NO_SHARE
    mean = sum(connections) / len(connections)
    if max(connections) <= _UNEVEN * mean + _UNEVEN_BEYOND:
        return NO_SHARE
    return float(math.ceil(mean))


class Balance:
    """Sets the workers' shares from time to time.

    The pause in between doubles as long as it has not helped: if the others cannot take what one worker gives up,
    giving up more does not help.
    """

    def __init__(self) -> None:
        self._pause = _SHORTEST_PAUSE_SECONDS
        self._told_at = self._next_at = self._nearly_all_until = -math.inf

    def give_up_nearly_all(self, now: float) -> None:
        """Have every worker announce the end of its connections, once; where there are other pods, they take some."""
        self._nearly_all_until = now + _STANDS_SECONDS

    def look(self, records: Iterable[Record], now: float) -> None:
        """Write the share into the records of the workers that serve together; `now` is in seconds."""
        records = list(records)
        wanted = share([record.cells[Cell.CONNECTIONS] for record in records])
        if now < self._nearly_all_until:
            wanted = _LEAST
        elif not wanted:
            self._pause = _SHORTEST_PAUSE_SECONDS
        elif now >= self._next_at:
            self._told_at, self._next_at = now, now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        elif now >= self._told_at + _STANDS_SECONDS:
            wanted = NO_SHARE
        for record in records:
            record.cells[Cell.SHARE] = wanted
