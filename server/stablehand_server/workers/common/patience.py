"""How long a client may let its worker wait, without a timer for each wait.

A timer costs several microseconds, and after the loop was blocked it fires together with a request that is there. Here
a connection only notes for whom it waits; the worker's tick looks at all connections ten times a second, and ends those
whose client took too long.
"""

from __future__ import annotations

from stablehand_server.workers.common.base import HEADER_SECONDS


class Patience:
    """A connection, as far as it waits for its client; `idle` while no byte of its next request has come."""

    __slots__ = ("_deadline", "_seconds", "idle")

    def __init__(self) -> None:
        self._seconds: float | None = None  # that the client may take now; None while it is the worker's turn
        self._deadline: float | None = None  # as of the first look since
        self.idle = False

    def await_request(self, seconds: float) -> None:
        """Note that the next request should begin within so many seconds."""
        self._seconds = seconds
        self._deadline = None
        self.idle = True

    def await_headers(self) -> None:
        """Note that the first byte of a request has come: the rest of its headers should follow."""
        self._seconds = HEADER_SECONDS
        self._deadline = None
        self.idle = False

    def wait_no_more(self) -> None:
        """Note that it is the worker's turn."""
        self._seconds = None
        self.idle = False

    def look(self, now: float) -> None:
        """Give up the client if it took too long; what has come meanwhile always counts."""
        if self._seconds is None:
            return
        if self._deadline is None:
            self._deadline = now + self._seconds
        elif now > self._deadline:
            if self.data_waits():
                self._deadline = None  # after a blocked loop both are due at once
            else:
                self.give_up()

    def data_waits(self) -> bool:
        """Tell whether the client has sent what nobody has read yet."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Wait for the client no longer."""
        raise NotImplementedError
