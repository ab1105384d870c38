"""A thread that serves requests."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


_JOIN_SECONDS = 1.0


class ServingThread(threading.Thread):
    """A thread for which the end of the process does not wait, unlike for the threads that its requests start.

    The worker itself waits for requests, for as long as it should; one without end must not hold up its exit. But a
    thread is a daemon by default if the one that starts it is: threads that a request starts would be cut off in the
    middle of their work, which gunicorn waits for. So the attribute, which `threading` reads when it starts this
    thread, says no from then on.

    Attributes:
        number: larger than that of any thread started before.
        serving_since: when the request began that it serves (time.monotonic()); 0 while it serves none.
        leaving: whether it is surplus, and ends after the request that it serves.
        detained: whether it stays, but serves what it did when the number of threads fell, at `detained_at`.
        released: whether it is detained for so long that another thread has taken its place.
    """

    _has_begun = False

    def __init__(self, serve: Callable[[ServingThread], None], name: str, number: int) -> None:
        super().__init__(name=f"{name}-{number}", daemon=True)
        self.number = number
        self.serving_since = 0.0
        self.leaving = self.detained = self.released = False
        self.detained_at = 0.0
        self._serve = serve

    def has_served_for(self, now: float, seconds: float) -> bool:
        """Return whether it has served one request for as long as that."""
        return self.serving_since > 0.0 and now - self.serving_since >= seconds

    @property
    def daemon(self) -> bool:
        """Whether a thread that this one starts is a daemon by default."""
        return not self._has_begun

    @daemon.setter
    def daemon(self, _daemon: bool) -> None:
        raise RuntimeError("cannot set daemon status of active thread")

    def run(self) -> None:
        """Serve."""
        self._has_begun = True
        self._serve(self)


def join_idle(threads: Collection[ServingThread]) -> None:
    """Wait for those that serve nothing and are about to end, for a second at most."""
    until = time.monotonic() + _JOIN_SECONDS
    for thread in threads:
        while thread.is_alive() and not thread.serving_since and (left := until - time.monotonic()) > 0.0:
            thread.join(min(left, 0.05))
