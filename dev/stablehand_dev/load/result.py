"""What a run of load measured: counts, failures by kind, latencies, and all of it second by second."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Each bucket is 1 % wider than the one below, so a quantile is off by half a percent at most, and any run, however
# long, fits into some two thousand counters.
_GROWTH = math.log(1.01)
_SHORTEST = 1e-6


@dataclasses.dataclass
class Latencies:
    """Latencies in seconds, kept as a histogram of logarithmic buckets (bucket number: count)."""

    buckets: Counter[int] = dataclasses.field(default_factory=Counter)

    def record(self, seconds: float) -> None:
        """Count one latency."""
        self.buckets[int(math.log(max(seconds, _SHORTEST) / _SHORTEST) / _GROWTH)] += 1

    def quantile(self, share: float) -> float | None:
        """Return the latency in seconds that `share` (0 to 1) of all did not exceed; None when there are none."""
        rank = math.ceil(share * self.buckets.total())
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= max(rank, 1):
                return _SHORTEST * math.exp((bucket + 0.5) * _GROWTH)
        return None

    @classmethod
    def merged(cls, parts: Iterable[Latencies]) -> Latencies:
        """Return all latencies of the parts together."""
        whole = cls()
        for part in parts:
            whole.buckets.update(part.buckets)
        return whole


@dataclasses.dataclass
class Second:
    """What finished within one second of a run; `at` is its number, counted from 0 at the start."""

    at: int
    completed: int = 0
    failed: int = 0
    latencies: Latencies = dataclasses.field(default_factory=Latencies)

    def to_mapping(self) -> dict[str, Any]:
        """Return the second as JSON, with its quantiles for people and its buckets for `LoadResult.between`."""
        return {
            "at": self.at,
            "completed": self.completed,
            "failed": self.failed,
            "p50": self.latencies.quantile(0.5),
            "p99": self.latencies.quantile(0.99),
            "buckets": {str(bucket): count for bucket, count in sorted(self.latencies.buckets.items())},
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Second:
        """Read what `to_mapping` wrote."""
        buckets = Counter({int(bucket): count for bucket, count in fields["buckets"].items()})
        return cls(fields["at"], fields["completed"], fields["failed"], Latencies(buckets))


@dataclasses.dataclass(frozen=True)
class FailureExample:
    """One of the first failures: when (seconds from the start), of which kind, and what exactly happened."""

    at: float
    kind: str
    detail: str


@dataclasses.dataclass
class LoadResult:
    """What a run measured.

    `seconds` counts from the first request to the last answer. `completed` are answers with a 2xx status;
    `failures` counts everything else by kind: `refused`, `reset`, `eof_before_response`, `eof_within_response`,
    `timeout`, `malformed`, `unreachable`, `status_NNN`.
    """

    seconds: float = 0.0
    completed: int = 0
    failures: Counter[str] = dataclasses.field(default_factory=Counter)
    connects: int = 0
    examples: list[FailureExample] = dataclasses.field(default_factory=list)
    series: list[Second] = dataclasses.field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many requests failed, of whatever kind."""
        return self.failures.total()

    @property
    def requests(self) -> int:
        """How many requests were tried: each ends completed or failed."""
        return self.completed + self.failed

    @property
    def requests_per_second(self) -> float:
        """Completed requests per second over the whole run."""
        return self.completed / self.seconds if self.seconds else 0.0

    @property
    def latencies(self) -> Latencies:
        """The latencies of all completed requests."""
        return Latencies.merged(second.latencies for second in self.series)

    @property
    def p50(self) -> float | None:
        """The median latency in seconds."""
        return self.latencies.quantile(0.5)

    @property
    def p95(self) -> float | None:
        """The latency in seconds that 95 % did not exceed."""
        return self.latencies.quantile(0.95)

    @property
    def p99(self) -> float | None:
        """The latency in seconds that 99 % did not exceed."""
        return self.latencies.quantile(0.99)

    def between(self, start: int, end: int) -> LoadResult:
        """Return the part that finished in the seconds `start` (included) to `end` (excluded) of the run.

        Failures of a part have no kind of their own: they count as `any`.
        """
        return summed([second for second in self.series if start <= second.at < end], max(0, end - start))

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as JSON."""
        latencies = self.latencies
        return {
            "seconds": self.seconds,
            "requests": self.requests,
            "completed": self.completed,
            "failed": self.failed,
            "failures": dict(self.failures),
            "connects": self.connects,
            "requestsPerSecond": self.requests_per_second,
            "latencySeconds": {name: latencies.quantile(q) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
            "examples": [dataclasses.asdict(example) for example in self.examples],
            "series": [second.to_mapping() for second in self.series],
        }

    def to_json(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps(self.to_mapping(), separators=(",", ":"))

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> LoadResult:
        """Read what `to_mapping` wrote."""
        return cls(
            seconds=fields["seconds"],
            completed=fields["completed"],
            failures=Counter(fields["failures"]),
            connects=fields["connects"],
            examples=[FailureExample(**example) for example in fields["examples"]],
            series=[Second.from_mapping(second) for second in fields["series"]],
        )

    def __str__(self) -> str:
        """Return the result as one line for a person."""
        latencies = self.latencies
        quantiles = ", ".join(
            f"p{q} {value * 1000:.0f} ms" for q in (50, 95, 99) if (value := latencies.quantile(q / 100)) is not None
        )
        failures = ", ".join(f"{count} × {kind}" for kind, count in self.failures.most_common()) or "none"
        return (
            f"{self.completed} requests in {self.seconds:.1f} s: {self.requests_per_second:.1f}/s, "
            f"{quantiles or 'no latency'}; failures: {failures}"
        )


def summed(series: list[Second], seconds: float) -> LoadResult:
    """Return some seconds of a run as a result of their own, over the time in seconds that they stand for."""
    failed = sum(second.failed for second in series)
    return LoadResult(
        seconds=seconds,
        completed=sum(second.completed for second in series),
        failures=Counter({"any": failed} if failed else {}),
        series=series,
    )
