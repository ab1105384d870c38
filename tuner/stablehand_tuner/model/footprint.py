"""What a worker's memory consists of: that of the idle worker, and that of each request in flight."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

FADING = 0.98  # per scrape: a sample of fifty scrapes ago counts for a third, because caches and leaks grow
LEAST_SAMPLES = 4.0
LEAST_SPREAD_SHARE = 0.1  # the same as a share of their mean number
LEAST_SPREAD = 0.3  # of the requests in flight, as a standard deviation: less does not show what one holds
UNEVEN = 0.25  # of the requests in flight
PLAIN_WORKER_BYTES = 64 * 2**20  # whatever a worker uses above this may be held by its requests
PRIOR_SHARE = 1 / 32  # of a worker's memory: what a request is assumed to hold while nothing is known


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Sums of samples of a worker's requests in flight and its memory in MiB, to fit a line to; old samples fade."""

    samples: float = 0.0
    in_flight: float = 0.0
    memory: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def add(self, seen: Observation, current: Settings) -> Footprint:
        """Return the footprint with one more scrape of workers under the current settings."""
        if seen.worker_memory_bytes_mean is None or not _even(seen):
            return self
        each, memory = seen.busy_slots / (seen.pods * current.workers), seen.worker_memory_bytes_mean / 2**20
        kept = (FADING * value for value in dataclasses.astuple(self))
        news = (1.0, each, memory, each * each, each * memory)
        return Footprint(*(old + new for old, new in zip(kept, news, strict=True)))

    @property
    def request_bytes(self) -> float | None:
        """What one more request in flight adds, by least squares; None until their number has varied enough."""
        if self.samples < LEAST_SAMPLES:
            return None
        mean = self.in_flight / self.samples
        variance = self.squares / self.samples - mean * mean
        if variance < max(LEAST_SPREAD, LEAST_SPREAD_SHARE * mean) ** 2:
            return None
        covariance = self.products / self.samples - mean * self.memory / self.samples
        return max(0.0, covariance / variance) * 2**20

    def to_list(self) -> list[float]:
        """Return the footprint as plain JSON."""
        return list(dataclasses.astuple(self))

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Footprint:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError: when it is not that.
        """
        for value in values:
            if not is_number(value) or value < 0:
                raise ValueError(f"{value!r} sums up no memory")
        return cls(*(float(value) for value in values))


def _even(seen: Observation) -> bool:
    """Tell whether about as many requests were in the app at the scrape as on average before it.

    The memory is that of one moment, so if the number of requests changed in between, the two do not match.
    """
    return abs(seen.busy_slots - seen.in_app) <= max(UNEVEN * seen.in_app, 1.0)


def in_worker(seen: Observation, current: Settings) -> float:
    """Return the mean number of requests inside the app in one worker."""
    return seen.in_app / (seen.pods * current.workers)


def request_bytes(footprint: Footprint, seen: Observation, current: Settings) -> float:
    """Return what a request in flight holds: as fitted, else the most that is plausible by a worker's memory."""
    known = footprint.request_bytes
    if known is not None:
        return known
    worker = seen.worker_memory_bytes or 0.0
    return max(PRIOR_SHARE * worker, (worker - PLAIN_WORKER_BYTES) / max(1.0, in_worker(seen, current)))
