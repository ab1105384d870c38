"""A ceiling that was found: how many slots did no harm, how many did, and where: in a process, a pod, or the app.

More slots can do harm (a database refuses connections: requests fail) or no good (a lock, a pool: the same throughput
with as many more requests inside). A ceiling is remembered with both numbers, so that the settings between them remain
possible. It is forgotten slowly: after `until`, half as many more are tried once. If they do harm again, the next try
is twice as far away.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number, is_whole
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings

HARMLESS = frozenset({Reason.TRIAL_NO_GAIN, Reason.TRIAL_THROUGHPUT})
"""The reasons of a knee: more slots serve no more. Everything else is harm to requests."""

_WHAT = {Reason.TRIAL_ERRORS: "requests fail", Reason.TRIAL_LAG: "the event loop is late"}
KNEE_SECONDS = 600.0
HARM_SECONDS = 3600.0
LONGEST_SECONDS = 86400.0
PROBE = 1.5  # times the slots that did no harm, when a ceiling is tried again: enough for another slot in each process
ALIKE = 1.6  # times the CPU seconds of a request: a knee is that of one kind of requests
MOST_FOUND = 16


class Level(str, enum.Enum):
    """What has the ceiling: then the numbers of slots are those of it."""

    PROCESS = "process"
    POD = "pod"
    APP = "app"

    def __str__(self) -> str:
        """Return the name for messages."""
        return {"process": "a process", "pod": "a pod", "app": "all pods together"}[self.value]

    def slots(self, settings: Settings, pods: float) -> int:
        """Return how many slots there are of it under some settings."""
        if self is Level.PROCESS:
            return settings.slots_per_worker
        return settings.slots if self is Level.POD else round(settings.slots * pods)


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """One ceiling.

    Attributes:
        level: what has it.
        reason: what happened with `bad` slots.
        good: the most slots without it.
        bad: the fewest slots with it.
        cost: CPU seconds of a request then; only requests that cost as much have the same knee. None for harm, which
            counts for all.
        until: when more slots may be tried again, Unix seconds.
        found: how many times it was found, or confirmed.
    """

    level: Level
    reason: Reason
    good: int
    bad: int
    cost: float | None
    until: float
    found: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that no climb can have found."""
        if not 1 <= self.good < self.bad:
            raise ValueError(f"a ceiling is between two numbers of slots, not between {self.good} and {self.bad}")

    @property
    def is_harm(self) -> bool:
        """Whether more slots do harm to requests, instead of only no good."""
        return self.reason not in HARMLESS

    @property
    def found_at(self) -> float:
        """When it was found, or confirmed, last, Unix seconds."""
        return self.until - wait_seconds(is_harm=self.is_harm, found=self.found)

    def concerns(self, cost: float | None) -> bool:
        """Tell whether it holds for requests that cost so many CPU seconds."""
        if self.cost is None or not cost:
            return True
        return max(cost, self.cost) <= ALIKE * min(cost, self.cost)

    def allowed(self, now: float) -> int:
        """Return how many slots there may be now."""
        if now < self.until:
            return self.good
        return math.ceil(self.good * PROBE)

    def __str__(self) -> str:
        """Return a sentence's worth of it, for messages."""
        what = _WHAT.get(self.reason, f"{self.reason}") if self.is_harm else "no more is served"
        return f"with more than {self.good} slots of {self.level} ({self.bad} were tried) {what}"

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {**dataclasses.asdict(self), "level": self.level.value, "reason": self.reason.value}

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Ceiling:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        counts = (fields["good"], fields["bad"], fields["found"])
        if not all(is_whole(each) for each in counts) or not 1 <= fields["found"] <= MOST_FOUND:
            raise ValueError(f"{counts!r} are no counts of a ceiling")
        cost, until = fields["cost"], fields["until"]
        if not is_number(until) or not (cost is None or (is_number(cost) and cost > 0)):
            raise ValueError(f"{cost!r} is no CPU time, or {until!r} no time")
        return cls(
            level=Level(fields["level"]),
            reason=Reason(fields["reason"]),  # type: ignore[call-arg]  # a lookup by value, not a new member
            good=fields["good"],
            bad=fields["bad"],
            cost=None if cost is None else float(cost),
            until=float(until),
            found=fields["found"],
        )


def wait_seconds(*, is_harm: bool, found: int) -> float:
    """Return for how long a ceiling holds: each time it is found again, twice as long, up to a day."""
    first = HARM_SECONDS if is_harm else KNEE_SECONDS
    return float(min(LONGEST_SECONDS, first * 2.0 ** (found - 1)))
