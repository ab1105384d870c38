"""Interleaved rounds: whatever disturbs the machine disturbs every contestant alike, and ratios are taken in pairs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Name = TypeVar("_Name", bound=str)
_Measured = TypeVar("_Measured")


class Spread(NamedTuple):
    """Of several rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 0, scale: float = 1.0) -> str:
        """Return median and range for a table."""
        low, mid, high = (f"{value * scale:,.{digits}f}" for value in (self.lowest, self.median, self.highest))
        return f"{mid} [{low}–{high}]"


def interleaved(
    names: Sequence[_Name], rounds: int, measure: Callable[[_Name], _Measured]
) -> Mapping[_Name, list[_Measured]]:
    """Measure every contestant once a round; each round begins with another one, so that none always follows one."""
    results: dict[_Name, list[_Measured]] = {name: [] for name in names}
    for number in range(rounds):
        for name in order(names, number):
            results[name].append(measure(name))
    return results


def order(names: Sequence[_Name], number: int) -> Sequence[_Name]:
    """Return who is measured one after the other in round `number`, counted from 0."""
    turn = number % len(names)
    return (*names[turn:], *names[:turn])


def ratios(values: Sequence[float], to: Sequence[float]) -> Spread:
    """Return the spread of the ratios of the rounds' pairs."""
    return Spread.of([value / base for value, base in zip(values, to, strict=True)])
