"""Whether the operator is working, for the liveness probe: a watch can stall without an error.

Three things must continue: the listings, the tuning ticks, and the watches. A watch has stalled when a listing shows a
version of a resource that the watch has not delivered for a while.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stablehand_operator.inventory import AppKey


class Health:
    """Records when each part of the operator last worked.

    Args:
        blind_after: seconds without progress after which the operator counts as blind.
        clock: seconds, monotonic.
    """

    def __init__(self, blind_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._blind_after = blind_after
        self._clock = clock
        self._signs = {"listing": clock(), "tick": clock()}
        self._watched: dict[AppKey, int] = {}
        self._behind_since: dict[AppKey, tuple[int, float]] = {}
        self.ready = False

    def listed(self, versions: Mapping[AppKey, int]) -> None:
        """Record a listing that succeeded, with the resource version of each app."""
        now = self._clock()
        self._signs["listing"] = now
        self.ready = True
        for key, version in versions.items():
            behind = self._behind_since.get(key)
            if self._watched.get(key, -1) >= version:
                self._behind_since.pop(key, None)
            elif behind is None or self._watched.get(key, -1) >= behind[0]:
                self._behind_since[key] = (version, now)
        for gone in self._behind_since.keys() - versions.keys():
            del self._behind_since[gone]
        for gone in self._watched.keys() - versions.keys():
            del self._watched[gone]

    def watched(self, key: AppKey, version: int) -> None:
        """Record a version of an app that the watch delivered."""
        self._watched[key] = max(version, self._watched.get(key, -1))
        behind = self._behind_since.get(key)
        if behind is not None and version >= behind[0]:
            del self._behind_since[key]

    def waiting(self) -> None:
        """Record that the API server answered, but does not know the resource yet."""
        self._signs = dict.fromkeys(self._signs, self._clock())

    def ticked(self) -> None:
        """Record that a round of the tuning loop began."""
        self._signs["tick"] = self._clock()

    def blindness(self) -> str | None:
        """Return why the operator counts as blind, or None when it does not."""
        now = self._clock()
        names = {"listing": "no listing of the resources succeeded", "tick": "no tuning tick ended"}
        for sign, since in self._signs.items():
            if now - since > self._blind_after:
                return f"{names[sign]} for {now - since:.0f} s"
        for key, (version, since) in self._behind_since.items():
            if now - since > self._blind_after:
                return f"the watch has not delivered version {version} of {key} for {now - since:.0f} s"
        return None
