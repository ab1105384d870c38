"""A canary beside its siblings, over the same intervals, so that a load that changes does not affect the comparison.

Each scrape gives one interval for both sides. Errors and slow requests are compared request by request, response time
and CPU by one sample for each interval; `sequential` has the tests for how certain a difference is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number
from stablehand_tuner.evidence.sequential import CountTest, MeanTest
from stablehand_tuner.observe import aggregation, histogram
from stablehand_tuner.observe.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOW_SHARE = 0.05  # at most this share of the siblings' requests counts as slow
LEAST_REQUESTS = 10.0  # of each side for a sample: the mean of fewer is too noisy, so intervals are joined until then


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a canary and its siblings did at the same time.

    `control` is what the siblings did over all intervals; what the canary did is the window of its phase. `slow_bound`
    is the duration, in seconds, above which a request counts as slow: chosen from earlier observations. `response` and
    `cpu` hold the logarithm of the canary's value ÷ the siblings', one sample for each interval; `pending` joins the
    intervals of both sides that had too few requests for a sample.
    """

    control: Observation | None = None
    slow_bound: float | None = None
    errors: CountTest = dataclasses.field(default_factory=CountTest)
    slow: CountTest = dataclasses.field(default_factory=CountTest)
    response: MeanTest = dataclasses.field(default_factory=MeanTest)
    cpu: MeanTest = dataclasses.field(default_factory=MeanTest)
    pending: tuple[Observation, Observation] | None = None

    @classmethod
    def against(cls, baseline: Observation | None) -> Comparison:
        """Return a comparison whose slow requests are those that were slow under the settings before."""
        return cls(slow_bound=None if baseline is None else _slow_bound(baseline))

    def add(self, canary: Observation, siblings: Observation, *, settled: bool) -> Comparison:
        """Return the comparison with one more interval.

        Args:
            canary: what the canary did in it.
            siblings: what the others did in it, all together.
            settled: whether the canary's workers are warm: until then only errors count.
        """
        control = siblings if self.control is None else aggregation.merge(self.control, siblings)
        errors = self.errors.add(canary.errors, canary.requests, siblings.errors, siblings.requests)
        grown = dataclasses.replace(self, control=control, errors=errors)
        if not settled:
            return grown
        if self.slow_bound is None:
            # this interval may choose the bound for later ones, but must not be judged by it
            grown = dataclasses.replace(grown, slow_bound=_slow_bound(siblings))
        else:
            slow = [_slower_than(each, self.slow_bound) for each in (canary, siblings)]
            grown = dataclasses.replace(grown, slow=self.slow.add(*slow[0], *slow[1]))
        ours, theirs = canary, siblings
        if self.pending is not None:
            ours, theirs = aggregation.merge(self.pending[0], canary), aggregation.merge(self.pending[1], siblings)
        if min(ours.requests, theirs.requests) < LEAST_REQUESTS:
            return dataclasses.replace(grown, pending=(ours, theirs))
        return dataclasses.replace(
            grown,
            response=_with_ratio(self.response, ours.response_seconds, theirs.response_seconds),
            cpu=_with_ratio(self.cpu, ours.cpu_seconds_per_request, theirs.cpu_seconds_per_request),
            pending=None,
        )

    def slow_shares(self, canary: Observation) -> tuple[float, float]:
        """Return the share of slow requests, 0 to 1, of the canary over its whole time and of its siblings."""
        if self.slow_bound is None or self.control is None:
            return 0.0, 0.0
        pairs = (_slower_than(each, self.slow_bound) for each in (canary, self.control))
        ours, theirs = (slow / requests if requests else 0.0 for slow, requests in pairs)
        return ours, theirs

    def to_mapping(self) -> dict[str, Any]:
        """Return the comparison as plain JSON."""
        return {
            "control": None if self.control is None else self.control.to_mapping(),
            "slowBound": self.slow_bound,
            "errors": self.errors.to_list(),
            "slow": self.slow.to_list(),
            "response": self.response.to_list(),
            "cpu": self.cpu.to_list(),
            "pending": None if self.pending is None else [each.to_mapping() for each in self.pending],
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Comparison:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        control, bound, pending = fields["control"], fields["slowBound"], fields["pending"]
        if pending is not None:
            ours, theirs = (Observation.from_mapping(each) for each in pending)
        if bound is not None and not (is_number(bound) and bound > 0):
            raise ValueError(f"{bound!r} is not a duration")
        return cls(
            control=None if control is None else Observation.from_mapping(control),
            slow_bound=None if bound is None else float(bound),
            errors=CountTest.from_list(fields["errors"]),
            slow=CountTest.from_list(fields["slow"]),
            response=MeanTest.from_list(fields["response"]),
            cpu=MeanTest.from_list(fields["cpu"]),
            pending=None if pending is None else (ours, theirs),
        )


def _slow_bound(seen: Observation) -> float | None:
    """Return the smallest bucket bound that at most one request in twenty exceeds; None if there is none."""
    bucket = histogram.quantile_bucket(seen.duration_buckets, 1 - SLOW_SHARE)
    return None if bucket is None or math.isinf(bucket[1]) else bucket[1]


def _slower_than(seen: Observation, bound: float) -> tuple[float, float]:
    """Return how many requests took longer than the bound of a bucket, and how many there were."""
    requests = seen.duration_buckets[-1][1] if seen.duration_buckets else 0.0
    counts = [count for each, count in seen.duration_buckets if each >= bound]
    return (requests - counts[0] if counts else 0.0), requests


def _with_ratio(test: MeanTest, ours: float | None, theirs: float | None) -> MeanTest:
    if not ours or not theirs:
        return test
    return test.add(math.log(ours / theirs))
