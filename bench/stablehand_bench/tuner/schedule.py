"""When the requests of an open loop are due: a fixed rate, bursts on top of it, noise around it. Pure."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import TYPE_CHECKING

from stablehand_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Schedule:
    """So many requests a second, evenly spaced; in bursts, so many more.

    A burst of `burst_seconds` ends each period. With `noise` 0.2 the rate is another one within ±20 % every
    `noise_seconds`, the same ones for the same seed.
    """

    per_second: float
    burst_per_second: float = 0.0
    burst_seconds: float = 0.0
    period_seconds: float = 0.0
    noise: float = 0.0
    noise_seconds: float = 5.0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what has no next request, or no end of one."""
        if self.per_second <= 0 or self.burst_per_second < 0:
            raise BenchError(f"a schedule needs a positive rate, not {self.per_second:g}/s")
        if not 0 <= self.noise < 1 or self.noise_seconds <= 0:
            raise BenchError(f"noise is {self.noise:g} every {self.noise_seconds:g} s, but must be within 0 to 1")
        if not 0 <= self.burst_seconds <= self.period_seconds:
            raise BenchError(f"bursts of {self.burst_seconds:g} s do not fit into {self.period_seconds:g} s")

    def rate(self, at: float) -> float:
        """Return the requests a second at a moment, in seconds from the start."""
        rate = self.per_second
        if self.burst_seconds and at % self.period_seconds >= self.period_seconds - self.burst_seconds:
            rate = self.burst_per_second
        if self.noise:
            stretch = int(at / self.noise_seconds)
            rate *= 1 + self.noise * (2 * random.Random(f"{self.seed} {stretch}").random() - 1)  # noqa: S311 (a load)
        return rate

    def mean_rate(self) -> float:
        """Return the requests a second over whole periods."""
        if not self.burst_seconds:
            return self.per_second
        calm = self.period_seconds - self.burst_seconds
        return (calm * self.per_second + self.burst_seconds * self.burst_per_second) / self.period_seconds

    def arrivals(self, seconds: float) -> Iterator[float]:
        """Yield the moments at which requests are due, in seconds from the start."""
        at = 0.0
        while at < seconds:
            yield at
            at += 1 / self.rate(at)

    def to_json(self) -> str:
        """Return the schedule as one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
