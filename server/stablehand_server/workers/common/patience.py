"""How long a client may keep its worker waiting, without a timer for each wait.

A timer costs several microseconds, and after the loop was blocked it fires together with a request that has arrived.
Here a connection only notes what it waits for; the worker's tick checks all connections ten times a second, and ends
those whose client took too long.
"""

from __future__ import annotations

from stablehand_server.workers.common.base import HEADER_SECONDS


class Patience:
    """A connection that may wait for its client; `idle` while no byte of its next request has arrived."""

    __slots__ = ("_deadline", "_seconds", "idle")

    def __init__(self) -> None:
        self._seconds: float | None = None  # that the client may take now; None while it is the worker's turn
        self._deadline: float | None = None  # as of the first look since
        self.idle = False

    def await_request(self, seconds: float) -> None:
        """Note that the next request should start within so many seconds."""
        self._seconds = seconds
        self._deadline = None
        self.idle = True

    def await_headers(self) -> None:
        """Note that the first byte of a request has arrived: the rest of its headers should follow."""
        self._seconds = HEADER_SECONDS
        self._deadline = None
        self.idle = False

    def wait_no_more(self) -> None:
        """Note that it is the worker's turn."""
        self._seconds = None
        self.idle = False

    def look(self, now: float) -> None:
        """Stop waiting for the client if it took too long; data that has arrived meanwhile always counts."""
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
        """Return whether the client has sent data that has not been read yet."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Stop waiting for the client."""
        raise NotImplementedError
