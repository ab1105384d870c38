"""What an app's requests wait for: unlimited, or a limited number of connections that all pods share."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_simulator.agenda import Agenda
    from stablehand_simulator.interpreter import Request


class Backend:
    """A slow backend that serves as many requests at once as it has connections; the others queue."""

    def __init__(self, agenda: Agenda, connections: float = math.inf) -> None:
        self._agenda = agenda
        self._free = connections
        self._line: deque[tuple[Request, Callable[[], None]]] = deque()

    def serve(self, request: Request, done: Callable[[], None]) -> None:
        """Serve the request for its wait as soon as a connection is free, and then call `done`."""
        if self._free > 0:
            self._free -= 1
            self._begin(request, done)
        else:
            self._line.append((request, done))

    def _begin(self, request: Request, done: Callable[[], None]) -> None:
        def end() -> None:
            self._next()
            done()

        self._agenda.after(request.wait, end)

    def _next(self) -> None:
        while self._line:
            request, done = self._line.popleft()
            if not request.lost:
                self._begin(request, done)
                return
        self._free += 1
