"""What is remembered of an app's kinds of requests, by what they cost in CPU.

While many requests share a full process, how long each would wait for anything but the process's lock cannot be seen.
But the CPU seconds of a request are the same then as at any other time. So a request that costs as much as one did
whose CPU share was plain to see is taken for one of the same kind: an app that turns from waiting to computing and back
is followed, however many threads it has. Whether that is right, the trial decides.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.load import Load
    from stablehand_tuner.observe.observation import Observation

ALIKE = 1.25  # times the CPU seconds
MOST_KINDS = 4


@dataclasses.dataclass(frozen=True)
class Kinds:
    """Pairs of the CPU seconds of a request and the CPU share that it had, the newest last.

    `last` is the pair of the last window, which is known once the next one is like it: a window in which the app turns
    from one kind to another shows neither.
    """

    known: tuple[tuple[float, float], ...] = ()
    last: tuple[float, float] | None = None

    def recall(self, cpu_seconds: float) -> float | None:
        """Return the CPU share that requests of so much CPU had when it could be seen; None where none is alike."""
        near = [(abs(math.log(cpu_seconds / cost)), share) for cost, share in self.known if _alike(cpu_seconds, cost)]
        return min(near)[1] if near else None

    def learn(self, seen: Observation, load: Load, current: Settings) -> Kinds:
        """Return what is known after a window, if its CPU share is plain to see."""
        cost = seen.cpu_seconds_per_request
        hidden = (load.worker_full or load.pod_full) and current.slots_per_worker > 1
        if not cost or hidden:
            return dataclasses.replace(self, last=None)
        latest = (cost, load.cpu_share)
        if self.last is None or not all(_alike(one, other) for one, other in zip(self.last, latest, strict=True)):
            return dataclasses.replace(self, last=latest)
        return dataclasses.replace(self.note(seen, load), last=latest)

    def note(self, seen: Observation, load: Load) -> Kinds:
        """Return the kinds with one that is like what was seen, whether its share was plain to see or tried out."""
        cost = seen.cpu_seconds_per_request
        if not cost:
            return self
        others = [each for each in self.known if not _alike(cost, each[0])]
        return dataclasses.replace(self, known=(*others, (cost, load.cpu_share))[-MOST_KINDS:])

    def to_list(self) -> list[list[float] | None]:
        """Return the kinds as plain JSON: that of the last window, or null, and what is known."""
        return [self.last and list(self.last), *(list(each) for each in self.known)]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Kinds:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError: when it is not that.
        """
        last, *known = values
        return cls(tuple(_pair(each) for each in known[-MOST_KINDS:]), None if last is None else _pair(last))


def _alike(one: float, other: float) -> bool:
    return max(one, other) <= ALIKE * min(one, other)


def _pair(values: Sequence[Any]) -> tuple[float, float]:
    for value in values:
        if not is_number(value) or value <= 0:
            raise ValueError(f"{value!r} is no CPU time and no share")
    cost, share = values
    return float(cost), min(1.0, float(share))
