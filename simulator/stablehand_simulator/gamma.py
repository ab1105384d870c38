"""Random times as a gamma distribution, by the approximation of Wilson and Hilferty.

E. B. Wilson and M. M. Hilferty, "The distribution of chi-square", PNAS 17 (1931): the cube root of a gamma variate is
nearly normal. Accurate to about 1 % where it is used: for histograms and for quantiles that are compared with each
other.
"""

from __future__ import annotations

import math
import statistics

_NORMAL = statistics.NormalDist()
_LEAST_SHAPE = 0.2


def quantile(mean: float, deviation: float, share: float) -> float:
    """Return the quantile of a time with this mean and standard deviation, seconds."""
    if deviation <= 0 or mean <= 0:
        return mean
    ninth = _ninth(mean, deviation)
    return float(mean * max(0.0, 1 - ninth + _NORMAL.inv_cdf(share) * math.sqrt(ninth)) ** 3)


def share_below(bound: float, mean: float, deviation: float) -> float:
    """Return the share of the times that are at most the bound."""
    if deviation <= 0 or mean <= 0:
        return 1.0 if mean <= bound else 0.0
    ninth = _ninth(mean, deviation)
    return _NORMAL.cdf(((bound / mean) ** (1 / 3) - (1 - ninth)) / math.sqrt(ninth))


def _ninth(mean: float, deviation: float) -> float:
    return 1 / (9 * max(_LEAST_SHAPE, (mean / deviation) ** 2))
