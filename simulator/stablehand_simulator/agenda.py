"""What is to happen when: the clock of a simulation, and its events in their order."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Agenda:
    """Events by their moments, in seconds since the start; those of one moment in the order in which they came."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sequence = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Let an event happen at the moment."""
        self._sequence += 1
        heapq.heappush(self._events, (moment, self._sequence, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let an event happen after so long."""
        self.at(self.now + seconds, event)

    def upcoming(self) -> float:
        """Return the moment of the next event; infinity without any."""
        return self._events[0][0] if self._events else math.inf

    def pop(self) -> Callable[[], None]:
        """Take the next event off."""
        return heapq.heappop(self._events)[2]
