"""When the demonstration is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_dev.demo.reading import Reading

_UNDER_WAY = frozenset({"try", "canary", "promote", "apply"})
"""After these actions something is on trial: `keep` or `roll_back` ends it."""


class Settling:
    """Determines when the app has settled: the last change was kept or rolled back, with no decision since then.

    Args:
        quiet: for how many seconds nothing must have been decided.
    """

    def __init__(self, quiet: float) -> None:
        self._quiet = quiet
        self._decisions = 0
        self._since: float | None = None

    def settled(self, now: float, reading: Reading) -> bool:
        """Take one reading, at a time in seconds, and return whether the app has settled."""
        if len(reading.decisions) != self._decisions:
            self._decisions = len(reading.decisions)
            self._since = now
        if self._since is None or not reading.decisions or reading.decisions[-1].action in _UNDER_WAY:
            return False
        return now - self._since >= self._quiet
