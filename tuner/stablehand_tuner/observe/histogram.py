"""Cumulative histograms, as Prometheus exposes them: pairs of a bucket's upper bound and a count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Buckets = tuple[tuple[float, float], ...]


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return the quantile of a cumulative histogram, linear within its bucket as Prometheus' histogram_quantile does.

    In the bucket without an upper bound it is the highest bound there is. None without any count.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    lower, upper, below, count = _bucket_of(buckets, share)
    if math.isinf(upper):
        return lower
    return lower + (upper - lower) * (share * buckets[-1][1] - below) / (count - below)


def quantile_bucket(buckets: Sequence[tuple[float, float]], share: float) -> tuple[float, float] | None:
    """Return the bounds, in seconds, of the bucket that the quantile falls into; None without any count."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    lower, upper, _, _ = _bucket_of(buckets, share)
    return lower, upper


def number_above(buckets: Sequence[tuple[float, float]], bound: float) -> float:
    """Return how many were larger than the bound, which is one of the buckets', or than the next one that is."""
    return buckets[-1][1] - next(count for upper, count in buckets if upper >= bound)


def _bucket_of(buckets: Sequence[tuple[float, float]], share: float) -> tuple[float, float, float, float]:
    rank = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in buckets:
        if count >= rank and count > below:
            return lower, upper, below, count
        lower, below = upper, count
    raise AssertionError("a cumulative histogram ends with its total")


def subtract(later: Buckets, earlier: Buckets) -> Buckets | None:
    """Return what the histogram counted in between; None when it was reset, or its buckets changed.

    Each bucket is read at its own moment, so the differences may not quite rise with the bound: they are made to.
    """
    if [bound for bound, _ in earlier] != [bound for bound, _ in later]:
        return None
    highest = 0.0
    rising = []
    for (bound, before), (_, after) in zip(earlier, later, strict=True):
        if after < before:
            return None
        highest = max(highest, after - before)
        rising.append((bound, highest))
    return tuple(rising)


def add(histograms: Sequence[Buckets]) -> Buckets:
    """Add cumulative histograms; where their bounds differ (two versions of the server), keep what all have."""
    shared = set.intersection(*({bound for bound, _ in each} for each in histograms))
    counts: dict[float, float] = dict.fromkeys(sorted(shared), 0.0)
    for each in histograms:
        for bound, count in each:
            if bound in counts:
                counts[bound] += count
    return tuple(counts.items())
