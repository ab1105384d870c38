"""What was tried without a result, or without a gain: each time the next try is twice as far away, for one image.

Neither is harm, so nothing is banned. But a try costs something, and what showed nothing five times will hardly show
something the sixth time: chasing noise for ever is what must not happen.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIRST_SECONDS = 60.0  # twice the default of the wait after any change
LONGEST_SECONDS = 24 * 3600.0
ALIKE = 1.5  # times the CPU of a request: beyond, the app does something else by now
MOST_TRIES = 12  # remembered
SEVERAL = "several processes"
MORE_LOOPS = "more event loops"


@dataclasses.dataclass(frozen=True)
class Try:
    """What was tried (a class, or several processes), how often, and until when it is not tried again, Unix seconds.

    `cost` is the CPU of a request when it was tried last, seconds; None where that was unknown.
    """

    what: str
    times: int
    until: float
    cost: float | None = None


@dataclasses.dataclass(frozen=True)
class Tries:
    """The tries that are remembered, the newest last."""

    made: tuple[Try, ...] = ()

    def after(self, what: str, *, cost: float | None, now: float) -> Tries:
        """Return them with one more try of something."""
        times = 1 + max((each.times for each in self.made if each.what == what), default=0)
        wait = LONGEST_SECONDS
        if what != MORE_LOOPS:  # which is a question about the app: it is answered
            wait = min(FIRST_SECONDS * 2.0 ** min(times - 1, 30), LONGEST_SECONDS)
        others = (each for each in self.made if each.what != what)
        return Tries((*others, Try(what, times, now + wait, cost))[-MOST_TRIES:])

    def without(self, what: str) -> Tries:
        """Return them without what has succeeded."""
        return Tries(tuple(each for each in self.made if each.what != what))

    def waiting(self, what: str, *, cost: float | None, now: float) -> Try | None:
        """Return the try that something has to wait after, if it has to.

        Where requests cost several times as much CPU as then, the app does something else, and nothing is known of it.
        """
        for each in self.made:
            if each.what == what and now < each.until and _is_alike(each.cost, cost):
                return each
        return None

    def not_after(self, now: float) -> Tries:
        """Return them without waits that are longer than can be, as after the clock was set back."""
        return Tries(
            tuple(dataclasses.replace(each, until=min(each.until, now + LONGEST_SECONDS)) for each in self.made)
        )

    def to_list(self) -> list[list[Any]]:
        """Return them as plain JSON."""
        return [[each.what, each.times, each.until, each.cost] for each in self.made]

    @classmethod
    def from_list(cls, values: Iterable[Sequence[Any]]) -> Tries:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError: when it is not that.
        """
        return cls(tuple(_try(*each) for each in values)[-MOST_TRIES:])


def _is_alike(one: float | None, other: float | None) -> bool:
    if not one or not other:
        return True
    return max(one, other) <= ALIKE * min(one, other)


def _try(what: Any, times: Any, until: Any, cost: Any) -> Try:
    if not is_whole(times) or times < 1 or not is_number(until) or not (cost is None or is_number(cost)):
        raise ValueError(f"{[what, times, until, cost]!r} is no try")
    return Try(str(what), times, float(until), None if cost is None else float(cost))
