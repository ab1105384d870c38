"""The clock of a simulation, and its future events in order."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Agenda:
    """Events by time, in seconds since the start; those of the same time in the order in which they were added."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sequence = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Add an event at this time."""
        self._sequence += 1
        heapq.heappush(self._events, (moment, self._sequence, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Add an event after this many seconds."""
        self.at(self.now + seconds, event)

    def upcoming(self) -> float:
        """Return the time of the next event; infinity without any."""
        return self._events[0][0] if self._events else math.inf

    def pop(self) -> Callable[[], None]:
        """Remove the next event and return it."""
        return heapq.heappop(self._events)[2]
