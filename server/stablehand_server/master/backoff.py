"""Pauses between attempts that fail, each twice as long as the one before, up to a limit."""

from __future__ import annotations


class GrowingPause:
    """The pause before the next attempt.

    Args:
        shortest: seconds after the first failure.
        longest: seconds that no pause exceeds.

    Attributes:
        failures: attempts that failed since the last success.
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self.failures = 0
        self._shortest = shortest
        self._longest = longest
        self._next = shortest
        self._until = 0.0

    def failed(self, now: float) -> bool:
        """Note a failed attempt: the next one has to wait; return whether the pause begins now.

        Those that fail within a pause began together with the one that has caused it: they make it no longer.
        """
        self.failures += 1
        if self.failures > 1 and not self.over(now):
            return False
        self._until = now + self._next
        self._next = min(2 * self._next, self._longest)
        return True

    def succeeded(self) -> None:
        """Reset the pause after the next failure to the shortest."""
        self.failures, self._next = 0, self._shortest

    def reset(self) -> None:
        """Allow the next attempt at once."""
        self.succeeded()
        self._until = 0.0

    def left(self, now: float) -> float:
        """Return for how many seconds the next attempt has to wait."""
        return max(0.0, self._until - now)

    def over(self, now: float) -> bool:
        """Return whether the next attempt may be made."""
        return now >= self._until
