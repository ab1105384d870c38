"""Does the worker on trial fail more of its requests than its siblings, beyond chance? Asked after each few requests.

A test that is looked at again and again finds a difference in the end, even where there is none, unless it is made for
that. Here each block of requests, served by both sides at the same time, gives an e-value: the likelihood of what both
have seen if the trial fails more, divided by that if both fail equally (Turner, Ly and Grünwald: Generic E-variables
for exact sequential k-sample tests that allow for optional stopping, Journal of Statistical Planning and Inference 230,
2024). It is 1 or less on average if the trial fails no more, however often both fail and however that changes: what
harms both sides at the same time, such as a database that is down, is no evidence.

E-values of successive blocks multiply. The harm may begin at any block, so the products from each block on are summed
(Shiryaev and Roberts; Shin, Ramdas and Rinaldo: E-detectors, 2023), with weights for the beginnings, and for how much
more the trial fails, that add up to 1. By Ville's inequality (1939) the sum exceeds 1 / LEVEL at any time of a harmless
trial with a probability of at most LEVEL.
"""

from __future__ import annotations

import math
from typing import NamedTuple

LEVEL = 0.001  # the probability that chance alone ends a harmless trial
# Fewer prove nothing: where a client tries again, or a page has several parts, they are not independent.
FEWEST_FAILURES = 5
_SIBLINGS_SHARES = (0.001, 0.01, 0.05, 0.2)  # of failed requests
_LARGER_EXCESSES = (0.3, 0.9)  # besides the one that the guard allows
_LARGEST_SHARE = 0.99
# A block has requests of both sides. Without any of the siblings it waits so long, or for so many failures, and is then
# compared with what the siblings served earlier: they may be starved because the trial answers, and fails, so quickly.
_LONGEST_BLOCK_SECONDS = 1.0
_FAILURES_THAT_WAIT = 3


class Requests(NamedTuple):
    """Numbers of requests of one side, that failed and that did not; one inside the app has not failed so far."""

    failed: float
    good: float

    @property
    def all(self) -> float:
        """How many there are."""
        return self.failed + self.good

    def plus(self, more: Requests) -> Requests:
        """Return the sum."""
        return Requests(self.failed + more.failed, self.good + more.good)


NONE = Requests(0.0, 0.0)


class Comparison:
    """Accumulates the evidence that the trial fails more.

    Args:
        excess: the difference between the shares of failed requests that would be harm: about half of it ends nothing,
            however many requests show it.
        earlier: what the siblings' kind served before the trial.
    """

    def __init__(self, excess: float, earlier: Requests = NONE) -> None:
        excesses = (excess, *(each for each in _LARGER_EXCESSES if each > excess))
        self._alternatives = [
            (min(share + more, _LARGEST_SHARE), share) for share in _SIBLINGS_SHARES for more in excesses
        ]
        self._evidence = [-math.inf] * len(self._alternatives)  # logarithms
        self._blocks = 0
        self._failures = 0.0  # of the trial
        self._earlier = earlier
        self._trial = self._siblings = NONE  # of the block that is not complete
        self._began_at: float | None = None

    def add(self, trial: Requests, siblings: Requests, now: float) -> None:
        """Take up what both sides have served since the last call; `now` is in seconds."""
        if self._began_at is None or (not self._trial.all and now - self._began_at > _LONGEST_BLOCK_SECONDS):
            self._trial = self._siblings = NONE  # of siblings alone, and too old to be of the same moment
            self._began_at = now
        self._failures += trial.failed
        self._trial, self._siblings = self._trial.plus(trial), self._siblings.plus(siblings)
        if not self._trial.all:
            return
        if not self._siblings.all:
            waited = now - self._began_at
            if waited <= _LONGEST_BLOCK_SECONDS and self._trial.failed < _FAILURES_THAT_WAIT:
                return
            self._siblings = self._take_from_earlier(self._trial.all)
        self._count_block()
        self._trial = self._siblings = NONE
        self._began_at = None

    @property
    def harms(self) -> bool:
        """Whether the trial fails more than chance explains."""
        return self._failures >= FEWEST_FAILURES and self.log_evidence >= -math.log(LEVEL)

    @property
    def log_evidence(self) -> float:
        """The logarithm of the evidence."""
        return _log_sum(self._evidence)

    def _count_block(self) -> None:
        self._blocks += 1
        # The weights 1 / (k (k + 1)) of the block with which the harm begins add up to 1.
        beginning = -math.log(self._blocks * (self._blocks + 1) * len(self._alternatives))
        self._evidence = [
            _log_sum((before, beginning)) + log_e_value(self._trial, self._siblings, *shares)
            for before, shares in zip(self._evidence, self._alternatives, strict=True)
        ]

    def _take_from_earlier(self, wanted: float) -> Requests:
        """Return so many of the earlier requests, each of which is used only once."""
        if not self._earlier.all:
            return NONE
        part = min(1.0, wanted / self._earlier.all)
        taken = Requests(self._earlier.failed * part, self._earlier.good * part)
        self._earlier = Requests(self._earlier.failed - taken.failed, self._earlier.good - taken.good)
        return taken


def log_e_value(trial: Requests, siblings: Requests, trial_share: float, siblings_share: float) -> float:
    """Return the logarithm of a block's e-value, for shares of failed requests of both sides."""
    requests = trial.all + siblings.all
    if not requests:
        return 0.0
    both = (trial.all * trial_share + siblings.all * siblings_share) / requests
    return (
        trial.failed * math.log(trial_share / both)
        + trial.good * math.log((1.0 - trial_share) / (1.0 - both))
        + siblings.failed * math.log(siblings_share / both)
        + siblings.good * math.log((1.0 - siblings_share) / (1.0 - both))
    )


def _log_sum(logarithms: tuple[float, ...] | list[float]) -> float:
    """Return the logarithm of the sum of what these are the logarithms of."""
    largest = max(logarithms)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(each - largest) for each in logarithms))
