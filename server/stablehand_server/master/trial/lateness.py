"""Is the event loop of the worker on trial late for long? Something in the app blocks it, and all of its requests wait.

A single late tick proves nothing: the first request of many apps imports modules for a second. So this is a cumulative
sum, as in Page's test (Continuous inspection schemes, Biometrika 41, 1954): time in which the loop is late counts up,
time in which it is not counts down, never below zero.
"""

from __future__ import annotations

LONGEST_LATE_SECONDS = 2.0


class Lateness:
    """Adds up for how long the loop was late.

    Args:
        allowed: by how many seconds its timer may be late, beyond the latest one of the siblings: where all are late,
            the machine is overloaded.
    """

    def __init__(self, allowed: float) -> None:
        self._allowed = allowed
        self._late_seconds = 0.0
        self._looked_at: float | None = None

    def look(self, trial: float, siblings: float, now: float) -> None:
        """Take up how many seconds the timers of the trial and, at most, of the siblings are late at present."""
        since = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        late = trial - siblings > self._allowed
        self._late_seconds = max(0.0, self._late_seconds + (since if late else -since))

    @property
    def harms(self) -> bool:
        """Whether the loop was late for too long."""
        return self._late_seconds >= LONGEST_LATE_SECONDS
