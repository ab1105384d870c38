"""What changes when: four scripts of fifteen minutes, in which no static settings suit every stretch. Pure.

Each has a kind of request that few slots serve best, and one that only many slots serve. All clients are closed loops:
each sends its next request when it has the answer to the last one. A request counts when it is answered in time.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools

LIMIT_SECONDS = 0.5
MOST_CLIENTS = 64
_COMPUTING, _UPSTREAM = "/multiply", "/upstream"
_WAITING, _SLOW, _SLOWER = "/wait/100", "/wait/120", "/wait/250"


@dataclasses.dataclass(frozen=True)
class Stretch:
    """So many seconds in which clients ask for a path; their number goes evenly from `first` to `last`.

    Raises:
        ValueError: when it has no time, no clients, or more than the load has.
    """

    seconds: float
    path: str
    first: int = MOST_CLIENTS
    last: int = MOST_CLIENTS

    def __post_init__(self) -> None:
        """Refuse what cannot be loaded."""
        if self.seconds <= 0 or not 1 <= self.first <= MOST_CLIENTS or not 1 <= self.last <= MOST_CLIENTS:
            raise ValueError(f"a stretch needs time, and 1 to {MOST_CLIENTS} clients, not {self}")

    def clients(self, at: float) -> int:
        """Return how many clients there are at a moment, in seconds from the stretch's beginning."""
        share = min(1.0, max(0.0, at / self.seconds))
        return round(self.first + share * (self.last - self.first))


@dataclasses.dataclass(frozen=True)
class Script:
    """Stretches, one after the other, again and again as often as `repeat` says."""

    name: str
    title: str
    parts: tuple[Stretch, ...]
    repeat: int = 1

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.repeat * sum(each.seconds for each in self.parts)

    def at(self, seconds: float) -> tuple[str, int]:
        """Return what is asked for at a moment, and by how many clients."""
        beginnings = [0.0, *itertools.accumulate(each.seconds for each in self.parts[:-1])]
        within = seconds % (self.seconds / self.repeat)
        place = bisect.bisect_right(beginnings, within) - 1
        stretch = self.parts[place]
        return stretch.path, stretch.clients(within - beginnings[place])

    def faster(self, times: float) -> Script:
        """Return the same with every stretch so many times shorter: for settings that stay."""
        parts = tuple(dataclasses.replace(each, seconds=each.seconds / times) for each in self.parts)
        return dataclasses.replace(self, parts=parts)


def _ramp(seconds: float, path: str, low: int) -> tuple[Stretch, Stretch]:
    return Stretch(seconds / 2, path, low, MOST_CLIENTS), Stretch(seconds / 2, path, MOST_CLIENTS, low)


ALL = (
    Script(
        "days",
        "three days: more and fewer people who wait by day, reports that compute by night",
        (*_ramp(150, _SLOWER, 4), *_ramp(150, _COMPUTING, 4)),
        repeat=3,
    ),
    Script(
        "bursts",
        "an upstream that slows under many, and every 90 s for 40 s a burst of requests that wait",
        (Stretch(50, _UPSTREAM), Stretch(40, _WAITING)),
        repeat=10,
    ),
    Script(
        "flips",
        "an upstream that slows under many, and long waits, three minutes each",
        (Stretch(180, _UPSTREAM), Stretch(180, _SLOWER), Stretch(90, _UPSTREAM)),
        repeat=2,
    ),
    Script(
        "slow-minutes",
        "an upstream that slows under many; for a minute in two and a half, requests go to one that takes 120 ms",
        (Stretch(60, _UPSTREAM), Stretch(60, _SLOW), Stretch(30, _UPSTREAM)),
        repeat=6,
    ),
)
BY_NAME = {script.name: script for script in ALL}
