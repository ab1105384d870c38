"""For how long a client may keep its connection, so that clients spread over all pods.

A client that keeps its connection stays with the pod that it met first: a new pod gets none, and one that was alone for
a while keeps all. Connections of one moment end at different times, so that their clients do not all come back at once.
"""

from __future__ import annotations

import math
import random
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_MOST_CLIENTS = 4096  # remembered, before those are forgotten that have left


class ConnectionLifetimes:
    """Knows connections by their client's address and port, as gunicorn's WSGI workers pass them along.

    `seconds` is how long a connection lasts on average: from half of that to one and a half times as long.
    """

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._chance = chance
        self._ends: dict[Hashable, float] = {}

    @classmethod
    def of(cls, seconds: float) -> ConnectionLifetimes | None:
        """Return lifetimes of so many seconds, None for 0: there is no limit."""
        return cls(seconds) if seconds else None

    def end(self) -> float:
        """Return when a connection of now should end, on the clock."""
        return self._clock() + self._seconds * (0.5 + self._chance())

    def is_over(self, client: Any) -> bool:
        """Tell whether the response to a client is to be its connection's last, for the connection is old.

        Behind a Unix socket there is a proxy, which has no address: its connections have no limit.
        """
        if not isinstance(client, tuple):
            return False
        end = self._ends.get(client)
        if end is None:
            if len(self._ends) >= _MOST_CLIENTS:
                self._forget()
            self._ends[client] = self.end()
            return False
        if self._clock() < end:
            return False
        self._ends.pop(client, None)
        return True

    def _forget(self) -> None:
        """Forget clients whose time has been over for as long again: they have left; all, if that are too few."""
        left = self._clock() - self._seconds
        kept = {client: end for client, end in list(self._ends.items()) if end > left}
        self._ends = kept if len(kept) < _MOST_CLIENTS / 2 else {}


def end_of(lifetimes: ConnectionLifetimes | None) -> float:
    """Return when a connection of now should end, on the monotonic clock: never, without a limit."""
    return math.inf if lifetimes is None else lifetimes.end()
