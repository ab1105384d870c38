"""What is remembered of an app's kinds of requests, by their CPU cost.

While many requests share a full process, it cannot be measured how long each waits for anything but the process's lock.
But a request costs the same CPU seconds then as at any other time. So a request that costs as much as those of a window
whose CPU share could be measured is taken for one of the same kind: so the tuner follows an app that alternates between
waiting and computing, however many threads it has. Whether that is right, the trial decides.
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

    `last` is the pair of the last window, which becomes known if the next one is like it: a window in which the app
    changes from one kind to another shows neither.
    """

    known: tuple[tuple[float, float], ...] = ()
    last: tuple[float, float] | None = None

    def recall(self, cpu_seconds: float) -> float | None:
        """Return the known CPU share of requests with about this CPU cost; None if there is none."""
        near = [(abs(math.log(cpu_seconds / cost)), share) for cost, share in self.known if _alike(cpu_seconds, cost)]
        return min(near)[1] if near else None

    def learn(self, seen: Observation, load: Load, current: Settings) -> Kinds:
        """Return what is known after a window; it adds something only if its CPU share could be measured."""
        cost = seen.cpu_seconds_per_request
        hidden = (load.worker_full or load.pod_full) and current.slots_per_worker > 1
        if not cost or hidden:
            return dataclasses.replace(self, last=None)
        latest = (cost, load.cpu_share)
        if self.last is None or not all(_alike(one, other) for one, other in zip(self.last, latest, strict=True)):
            return dataclasses.replace(self, last=latest)
        return dataclasses.replace(self.note(seen, load), last=latest)

    def note(self, seen: Observation, load: Load) -> Kinds:
        """Return the kinds with that of the observation, whose CPU share was measured or found by a trial."""
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
            raise ValueError(f"{value!r} is neither a CPU time nor a share")
    cost, share = values
    return float(cost), min(1.0, float(share))
