"""Do more requests fail than before a change of all workers, beyond chance? Asked as often as one likes. Pure.

There are no siblings to compare with at the same moment, only a sample that the same server served earlier. If nothing
has changed, both are of one share of failures, whatever it is. The evidence against that is the likelihood of the
earlier sample and of what came after a moment, under shares that differ, divided by the highest that any one share
gives them (universal inference: Wasserman, Ramdas and Balakrishnan, PNAS 117, 2020). With shares chosen before the
data, or from the earlier sample for what came after it, its expectation is at most 1 whenever one looks, if nothing has
changed. The earlier sample is judged by the estimator of Krichevsky and Trofimov (1981), which costs little for any
share.

The harm may begin at any moment, so the evidence from several moments on is added up, with weights that add up to 1. By
Ville's inequality (1939) the sum exceeds 1 / LEVEL at any time of a harmless change with a probability of at most
LEVEL.

Failures come in bursts too: a database is down for a second. So the evidence has to be as large against what the server
served just before, and against the worst time in the earlier sample: what has failed like that before proves nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from stablehand_server.master.trial.comparison import FEWEST_FAILURES, LEVEL, NONE, Requests

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEWEST_REQUESTS = 50.0  # of a time that is looked at by itself
_LARGEST_SHARE = 0.99
_SECONDS_BETWEEN_BEGINNINGS = 0.25
_BEGINNINGS = 64  # that are considered, the first and the newest: to leave out others only lowers the evidence


class _Beginning(NamedTuple):
    weight: float  # its logarithm
    failed: float  # that came before it
    good: float


class BeforeAndAfter:
    """Accumulates the evidence that more requests fail.

    Args:
        excess: the difference between the shares of failed requests that would be harm; less than half of it is none.
        earlier: what the server served before, in the order of time.
    """

    def __init__(self, excess: float, earlier: Sequence[Requests]) -> None:
        self._against = [_Evidence(excess, sample) for sample in _samples(earlier)]
        self._after = NONE
        self._beginnings = [_Beginning(-math.log(2.0), 0.0, 0.0)]
        self._begun = 1
        self._next_beginning: float | None = None
        self.harms = False

    def add(self, served: Requests, now: float) -> None:
        """Take up what was served since the last call; `now` is in seconds."""
        if self._next_beginning is None or now >= self._next_beginning:
            if self._next_beginning is not None:
                self._begin()
            self._next_beginning = now + _SECONDS_BETWEEN_BEGINNINGS
        self._after = self._after.plus(served)
        if served.failed and self._after.failed >= FEWEST_FAILURES:
            enough = -math.log(LEVEL)
            self.harms = self.harms or all(
                each.logarithm(self._after, self._beginnings) >= enough for each in self._against
            )

    def _begin(self) -> None:
        self._begun += 1
        # The weights 1 / (k (k + 1)) of the moment with which the harm begins add up to 1.
        weight = -math.log(self._begun * (self._begun + 1))
        self._beginnings.append(_Beginning(weight, self._after.failed, self._after.good))
        if len(self._beginnings) > _BEGINNINGS:
            del self._beginnings[1]


class _Evidence:
    """The evidence against one earlier sample."""

    def __init__(self, excess: float, earlier: Requests) -> None:
        self._earlier = earlier
        self._share = (earlier.failed + 0.5) / (earlier.all + 1.0)
        self._least_share = self._share + excess / 2.0
        self._shares = [min(self._share + excess, _LARGEST_SHARE)]
        while self._shares[-1] < _LARGEST_SHARE:
            self._shares.append(min(2.0 * self._shares[-1], _LARGEST_SHARE))
        self._of_earlier = _log_of_any_share(earlier) - math.log(len(self._shares))

    def logarithm(self, after: Requests, beginnings: Sequence[_Beginning]) -> float:
        """Return the logarithm of the evidence, from all beginnings on."""
        found = [-math.inf]
        for weight, failed_before, good_before in beginnings:
            since = Requests(after.failed - failed_before, after.good - good_before)
            if since.failed < self._least_share * since.all or not since.all:
                continue
            both = _log_of_best_share(self._earlier.plus(since))
            found += [weight + self._of_earlier + _log_of_share(since, each) - both for each in self._shares]
        largest = max(found)
        return largest if largest == -math.inf else largest + math.log(sum(math.exp(each - largest) for each in found))


def _samples(earlier: Sequence[Requests]) -> list[Requests]:
    """Return all that was served earlier, the worst time in it, and the last one."""
    times: list[Requests] = []
    gathered = NONE
    for each in reversed(earlier):  # so that the last one is no shorter than others
        gathered = gathered.plus(each)
        if gathered.all >= _FEWEST_REQUESTS:
            times.append(gathered)
            gathered = NONE
    in_all = NONE
    for each in earlier:
        in_all = in_all.plus(each)
    worst = sorted(times, key=lambda each: (each.failed + 0.5) / (each.all + 1.0))
    return [in_all, *worst[-1:], *times[:1]]


def _log_of_share(requests: Requests, share: float) -> float:
    return requests.failed * math.log(share) + requests.good * math.log(1.0 - share)


def _log_of_best_share(requests: Requests) -> float:
    """Return the logarithm of the highest likelihood that any share of failures gives."""
    return sum(part * math.log(part / requests.all) for part in requests if part > 0.0)


def _log_of_any_share(requests: Requests) -> float:
    """Return the logarithm of the likelihood by Krichevsky's and Trofimov's mixture of all shares."""
    failed, good = requests
    return math.lgamma(failed + 0.5) + math.lgamma(good + 0.5) - math.lgamma(failed + good + 1.0) - math.log(math.pi)
