"""Gunther's Universal Scalability Law, fitted to the throughput at different numbers of slots.

    X(N) = rate × N ÷ (1 + contention × (N - 1) + coherency × N(N - 1))

The rate is what one slot serves. Contention is the share of a request for which it needs something that only one can
have at a time, such as a lock. Coherency is what each slot costs every other one, so that too many serve fewer requests
(N. Gunther, *Guerrilla Capacity Planning*, 2007).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_POINTS = 2
_FEATURES = 3
_SINGULAR = 1e-12


@dataclasses.dataclass(frozen=True)
class Scalability:
    """A fitted law: the rate in requests per second of one slot, contention, and coherency; none negative."""

    rate: float
    contention: float = 0.0
    coherency: float = 0.0

    def throughput(self, slots: float) -> float:
        """Return the requests per second with a number of slots."""
        return self.rate * slots / (1 + self.contention * (slots - 1) + self.coherency * slots * (slots - 1))

    @property
    def peak(self) -> float:
        """The number of slots that serves the most; infinity where more slots never serve fewer requests."""
        if not self.coherency:
            return math.inf
        return max(1.0, math.sqrt(max(0.0, 1 - self.contention) / self.coherency))


def fit(points: Sequence[tuple[float, float]]) -> Scalability | None:
    """Return the law that fits pairs of slots and requests per second, by least squares of the relative errors.

    N ÷ X, the time of a slot for one request, is linear in N - 1 and N(N - 1), with three coefficients, none of which
    may be negative: of all subsets of the three the best one that keeps to that.

    Returns:
        The law; None for fewer than two different numbers of slots.
    """
    usable = [(slots, rate) for slots, rate in points if slots > 0 and rate > 0]
    different = len({slots for slots, _ in usable})
    if different < LEAST_POINTS:
        return None
    rows = [
        # divided by N ÷ X, so that each point counts by its relative error
        tuple(each * rate / slots for each in (1.0, slots - 1, slots * (slots - 1)))
        for slots, rate in usable
    ]
    best: tuple[float, tuple[float, ...]] | None = None
    for size in range(1, min(_FEATURES, different) + 1):
        for columns in itertools.combinations(range(_FEATURES), size):
            if 0 not in columns:
                continue  # a slot that takes no time serves infinitely many
            solved = _least_squares([[row[column] for column in columns] for row in rows])
            if solved is None or any(value < 0 for value in solved) or solved[0] <= 0:
                continue
            found = dict(zip(columns, solved, strict=True))
            coefficients = tuple(found.get(column, 0.0) for column in range(_FEATURES))
            error = sum(
                (sum(value * each for value, each in zip(coefficients, row, strict=True)) - 1) ** 2 for row in rows
            )
            if best is None or error < best[0] * (1 - 1e-9):
                best = error, coefficients
    if best is None:
        return None
    whole, linear, square = best[1]
    return Scalability(1 / whole, linear / whole, square / whole)


def _least_squares(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """Return the coefficients with which the rows come nearest to 1 each, by normal equations; None if undetermined."""
    size = len(rows[0])
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    right = [sum(row[i] for row in rows) for i in range(size)]
    scale = [math.sqrt(matrix[i][i]) for i in range(size)]
    if not all(scale):
        return None
    matrix = [[matrix[i][j] / (scale[i] * scale[j]) for j in range(size)] for i in range(size)]
    right = [right[i] / scale[i] for i in range(size)]
    for pivot in range(size):
        if abs(matrix[pivot][pivot]) < _SINGULAR:
            return None
        for other in range(pivot + 1, size):
            factor = matrix[other][pivot] / matrix[pivot][pivot]
            matrix[other] = [one - factor * two for one, two in zip(matrix[other], matrix[pivot], strict=True)]
            right[other] -= factor * right[pivot]
    solved = [0.0] * size
    for place in reversed(range(size)):
        known = sum(matrix[place][later] * solved[later] for later in range(place + 1, size))
        solved[place] = (right[place] - known) / matrix[place][place]
    return [value / each for value, each in zip(solved, scale, strict=True)]
