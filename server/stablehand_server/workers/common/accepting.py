"""Handling of a failed accept: a pause during which the open connections are served, and a line in the log."""

from __future__ import annotations

import errno
import time
from typing import Any

_NOBODY_THERE = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ECONNABORTED})
PAUSE_SECONDS = 0.5
_SECONDS_BETWEEN_LINES = 10.0


class AcceptErrors:
    """For one worker. Without descriptors or memory the listener stays readable: retrying at once would busy-loop."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._again_at = 0.0
        self._silent_until = 0.0
        self._untold = 0

    def note(self, error: OSError) -> None:
        """Pause, unless there was just no connection to accept; a repeated error is logged every ten seconds."""
        if error.errno in _NOBODY_THERE:
            return
        now = time.monotonic()
        self._again_at = now + PAUSE_SECONDS
        if now < self._silent_until:
            self._untold += 1
            return
        self._silent_until = now + _SECONDS_BETWEEN_LINES
        repeated = f" ({self._untold} more times since the last such line)" if self._untold else ""
        self._untold = 0
        self._log.error("Cannot accept a connection, trying again: %s%s", error, repeated)

    def pause(self) -> float:
        """Return for how many more seconds nothing is to be accepted; nearly always 0."""
        if not self._again_at:
            return 0.0
        left = self._again_at - time.monotonic()
        if left <= 0.0:
            self._again_at = 0.0
            return 0.0
        return left
