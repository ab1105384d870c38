"""How long clients waited for their answers, in buckets that are narrow enough to compare settings."""

from __future__ import annotations

import math

_RATIO = 1.05
_SHORTEST = 1e-5


class Responses:
    """A histogram of response times, each bucket 5 % wider than the last."""

    def __init__(self) -> None:
        self._counts: dict[int, float] = {}
        self.count = 0.0

    def observe(self, seconds: float, number: float = 1.0) -> None:
        """Count answers that took this long."""
        place = math.ceil(math.log(max(seconds, _SHORTEST) / _SHORTEST, _RATIO))
        self._counts[place] = self._counts.get(place, 0.0) + number
        self.count += number

    def quantile(self, share: float) -> float:
        """Return the upper bound of the bucket with the quantile, seconds; 0 without any answer."""
        rank, below = share * self.count, 0.0
        for place in sorted(self._counts):
            below += self._counts[place]
            if below >= rank:
                return float(_SHORTEST * _RATIO**place)
        return 0.0
