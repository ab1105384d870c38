"""What requests wait for: unlimited, or a limited number of connections of a process, of a pod, or of all pods."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_simulator.agenda import Agenda
    from stablehand_simulator.interpreter import Request


class Backend:
    """A slow backend that serves as many requests at once as it has connections; the others queue, or fail.

    Args:
        agenda: of the simulation.
        connections: how many requests it serves at once.
        refuses_after: seconds after which the others fail; None if they queue.
    """

    def __init__(self, agenda: Agenda, connections: float = math.inf, *, refuses_after: float | None = None) -> None:
        self._agenda = agenda
        self._free = connections
        self._refuses_after = refuses_after
        self._line: deque[tuple[Request, Callable[[], None]]] = deque()

    def serve(self, request: Request, done: Callable[[], None]) -> None:
        """Serve the request for its wait as soon as a connection is free, or let it fail, and then call `done`."""
        if self._free > 0:
            self._free -= 1
            self._begin(request, done)
        elif self._refuses_after is not None:
            request.failed = True
            self._agenda.after(self._refuses_after, done)
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
