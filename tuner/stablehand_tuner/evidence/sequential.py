"""Tests that may be looked at after every scrape without being wrong more often than stated.

A test for a fixed number of samples that is repeated after every sample finds a difference in the end, whether there is
one or not. These are test martingales (e-processes): while there is no difference, the chance that their value ever
reaches 20 is at most 1 in 20 (Ville's inequality), however often one looks and whenever one stops.

- `CountTest` is a mixture of likelihood ratios conditional on the number of events, after Lindon and Malek's
  test for canaries ("Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022): the share of an
  interval's events that falls on one side depends only on the numbers of requests, whatever the load and the error rate
  at that time. For events among few requests the true distribution is hypergeometric, which is smaller in convex order
  than the binomial one used here (Hoeffding 1963, theorem 4): the test is then only more conservative.
- `MeanTest` is the t-test with a Gaussian mixture over the effect size: Wang and Ramdas, "Anytime-valid t-tests and
  confidence sequences for Gaussian means with unknown variance" (2024), after Lai (1976).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)  # the alternatives that are mixed: times the rate of events
PRIOR_SAMPLES = 1.0  # the mixture's effect sizes have the variance 1 ÷ this
LEAST_DEVIATION = 0.001  # of a sample: closer agreement is chance or rounding
MOST_LOG = 700.0  # beyond, exp() overflows; it is certain long before


@dataclasses.dataclass(frozen=True)
class CountTest:
    """Does one side have a higher share of events (errors, slow requests) than the other has at the same time?

    `logs` are the logarithms of the likelihood ratios, one for each of `RATIOS`.
    """

    logs: tuple[float, ...] = (0.0,) * len(RATIOS)

    def add(self, events: float, requests: float, other_events: float, other_requests: float) -> CountTest:
        """Return the test with one more interval: events among requests on the suspected side and on the other."""
        if requests <= 0 or other_requests <= 0 or events + other_events <= 0:
            return self
        share = requests / (requests + other_requests)
        return CountTest(
            tuple(
                # clamped to what both exp() and JSON can carry
                max(-1e9, min(1e9, log + _log_ratio(ratio, share, events, other_events)))
                for ratio, log in zip(RATIOS, self.logs, strict=True)
            )
        )

    @property
    def e_value(self) -> float:
        """The evidence: at most 1 on average without a difference."""
        return sum(math.exp(min(MOST_LOG, log)) for log in self.logs) / len(self.logs)

    def to_list(self) -> list[float]:
        """Return the test as plain JSON."""
        return list(self.logs)

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> CountTest:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError: when it is not that.
        """
        logs = tuple(_finite(value) for value in values)
        if len(logs) != len(RATIOS):
            raise ValueError(f"{len(logs)} numbers instead of {len(RATIOS)}")
        return cls(logs)


def _log_ratio(ratio: float, share: float, events: float, other_events: float) -> float:
    """Return the log-likelihood ratio of the observed split of events: `ratio` times the rate against equal rates."""
    scale = ratio * share + 1 - share
    return events * math.log(ratio / scale) - other_events * math.log(scale)


@dataclasses.dataclass(frozen=True)
class MeanTest:
    """Is the mean of samples above or below a bound, where their variance is unknown?

    It holds the number of samples, their sum and the sum of their squares, so any bound can be asked for.
    """

    samples: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, sample: float) -> MeanTest:
        """Return the test with one more sample."""
        return MeanTest(self.samples + 1, self.total + sample, self.squares + sample * sample)

    @property
    def mean(self) -> float:
        """The mean of the samples; 0 without any."""
        return self.total / self.samples if self.samples else 0.0

    def above(self, bound: float) -> float:
        """Return the evidence (an e-value) that the mean is above the bound; 0 where the samples lie below it."""
        return self._e_value(bound) if self.samples and self.mean > bound else 0.0

    def below(self, bound: float) -> float:
        """Return the evidence (an e-value) that the mean is below the bound; 0 where the samples lie above it."""
        return self._e_value(bound) if self.samples and self.mean < bound else 0.0

    def _e_value(self, bound: float) -> float:
        count = self.samples
        total = self.total - count * bound
        squares = self.squares - 2 * bound * self.total + count * bound * bound
        scale = count + PRIOR_SAMPLES
        # rounding may leave the squares less than what the sum alone makes of them
        squares = max(squares, total * total / count) + count * LEAST_DEVIATION**2
        log = 0.5 * math.log(PRIOR_SAMPLES / scale) - 0.5 * count * math.log(1 - total * total / (squares * scale))
        return math.exp(min(MOST_LOG, log))

    def to_list(self) -> list[float]:
        """Return the test as plain JSON."""
        return [self.samples, self.total, self.squares]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> MeanTest:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError: when it is not that.
        """
        samples, total, squares = (_finite(value) for value in values)
        if samples < 0 or squares < 0 or (samples == 0 and (total or squares)):
            raise ValueError(f"{list(values)!r} are not sums of samples")
        return cls(samples, total, squares)


def _finite(value: Any) -> float:
    if not is_number(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
