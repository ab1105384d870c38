"""The changes made so far, as far as they decide how soon the next one may begin."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.lifecycle import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = 3600.0
MOST_CHANGES = 1000  # remembered: as many as a policy may allow within an hour


@dataclasses.dataclass(frozen=True)
class History:
    """The changes made so far.

    Attributes:
        began_at: when the changes of the last hour began, Unix seconds.
        next_change_at: when the next change may begin, Unix seconds; None means at any time.
        reversals: changes that were rolled back or undid the one before, less those that were kept; at least 0.
        direction: where the last change that was kept led: 1 to more, -1 to less, 0 to neither.
        cpu_share: the CPU share at which that change was made; None if no change was tried yet.
        trial_id: the id of the last trial on one worker; ids grow, whatever else is forgotten.
    """

    began_at: tuple[float, ...] = ()
    next_change_at: float | None = None
    reversals: int = 0
    direction: int = 0
    cpu_share: float | None = None
    trial_id: int = 0

    def recent(self, now: float) -> tuple[float, ...]:
        """Return when the changes of the last hour began."""
        return tuple(each for each in self.began_at if each > now - HOUR)

    def with_change(self, now: float) -> History:
        """Return the history with a change that begins now."""
        return dataclasses.replace(self, began_at=(*self.recent(now), now))

    def not_after(self, now: float, longest_wait: float) -> History:
        """Return the history without moments in the future, as after the clock was set back."""
        return dataclasses.replace(
            self,
            began_at=tuple(min(each, now) for each in self.began_at),
            next_change_at=None if self.next_change_at is None else min(self.next_change_at, now + longest_wait),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the history as plain JSON."""
        return {
            "beganAt": list(self.began_at),
            "nextChangeAt": self.next_change_at,
            "reversals": self.reversals,
            "direction": self.direction,
            "cpuShare": self.cpu_share,
            "trialId": self.trial_id,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> History:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(
            began_at=tuple(checked.number(each) for each in fields["beganAt"])[-MOST_CHANGES:],
            next_change_at=checked.optional_number(fields["nextChangeAt"]),
            reversals=checked.count(fields["reversals"]),
            direction={-1: -1, 0: 0, 1: 1}[fields["direction"]],
            cpu_share=checked.optional_number(fields["cpuShare"]),
            trial_id=checked.count(fields["trialId"]),
        )
