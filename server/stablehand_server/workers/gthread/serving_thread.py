"""A thread that serves requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ServingThread(threading.Thread):
    """A thread for which the end of the process does not wait, unlike for the threads that its requests start.

    The worker itself waits for requests, for as long as it should; one without end must not hold up its exit. But a
    thread is a daemon by default if the one that starts it is: threads that a request starts would be cut off in the
    middle of their work, which gunicorn waits for. So the attribute, which `threading` reads when it starts this
    thread, says no from then on.
    """

    _has_begun = False

    def __init__(self, serve: Callable[[threading.Thread], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._serve = serve

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
