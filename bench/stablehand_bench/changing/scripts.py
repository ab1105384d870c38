"""What changes when: four scripts of fifteen minutes, in which no static settings suit every stretch. Pure.

Each has a kind of request that few slots serve best, and one that only many slots serve. Both are due about as often,
so that nothing is decided by the kind that is cheaper. A request counts when it is answered within the script's limit,
from the moment at which it was due.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_SECONDS = 0.5
_COMPUTING, _UPSTREAM, _WAITING, _SLOW = "/multiply", "/upstream", "/wait/250", "/wait/300"


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Requests for a path, at a rate that goes evenly from `first` to `last` a second.

    Raises:
        ValueError: when it has no requests, or no end.
    """

    seconds: float
    path: str
    first: float
    last: float

    def __post_init__(self) -> None:
        """Refuse what has no next request."""
        if self.seconds <= 0 or min(self.first, self.last) <= 0:
            raise ValueError(f"a stretch needs time and positive rates, not {self}")

    def moments(self) -> Iterator[float]:
        """Yield when requests are due, in seconds from the stretch's beginning."""
        slope = (self.last - self.first) / self.seconds
        for number in itertools.count():
            at = number / self.first
            if slope:  # where the rate's integral is `number`
                at = (math.sqrt(max(0.0, self.first**2 + 2 * slope * number)) - self.first) / slope
            if at >= self.seconds:
                return
            yield at


@dataclasses.dataclass(frozen=True)
class Script:
    """Stretches, one after the other, again and again as often as `repeat` says."""

    name: str
    title: str
    parts: tuple[Stretch, ...]
    repeat: int = 1

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """All stretches."""
        return self.parts * self.repeat

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(each.seconds for each in self.stretches)

    def arrivals(self, seconds: float) -> Iterator[float]:
        """Yield when requests are due within so many seconds, from the start."""
        for began, stretch in zip(self._beginnings(), self.stretches, strict=True):
            for moment in stretch.moments():
                if began + moment >= seconds:
                    return
                yield began + moment

    def path(self, at: float) -> str:
        """Return what is asked for at a moment."""
        place = bisect.bisect_right(self._beginnings(), at) - 1
        return self.stretches[max(0, place)].path

    def faster(self, times: float) -> Script:
        """Return the same at the same rates, with every stretch so many times shorter: for settings that stay."""
        parts = tuple(dataclasses.replace(each, seconds=each.seconds / times) for each in self.parts)
        return dataclasses.replace(self, parts=parts)

    def _beginnings(self) -> list[float]:
        return [0.0, *itertools.accumulate(each.seconds for each in self.stretches[:-1])]


def _ramp(seconds: float, path: str, low: float, high: float) -> tuple[Stretch, Stretch]:
    return Stretch(seconds / 2, path, low, high), Stretch(seconds / 2, path, high, low)


ALL = (
    Script(
        "days",
        "three days: people who wait by day, reports that compute by night",
        (*_ramp(150, _WAITING, 20, 250), *_ramp(150, _COMPUTING, 20, 180)),
        repeat=3,
    ),
    Script(
        "bursts",
        "an upstream that slows under many, and every 90 s for 30 s a burst of requests that wait",
        (Stretch(60, _UPSTREAM, 150, 150), Stretch(30, _WAITING, 300, 300)),
        repeat=10,
    ),
    Script(
        "flips",
        "computing and waiting in turn, three minutes each",
        (Stretch(180, _WAITING, 150, 150), Stretch(180, _COMPUTING, 150, 150), Stretch(90, _WAITING, 150, 150)),
        repeat=2,
    ),
    Script(
        "slow-minutes",
        "an upstream that slows under many; for a minute in two, all requests go to one that takes 300 ms",
        (Stretch(60, _UPSTREAM, 180, 180), Stretch(60, _SLOW, 180, 180), Stretch(30, _UPSTREAM, 180, 180)),
        repeat=6,
    ),
)
BY_NAME = {script.name: script for script in ALL}
