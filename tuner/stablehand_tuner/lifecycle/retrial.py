"""A, B, and A again: was it the change, or the load that changed at the same time?

On one pod a change can only be compared with the time before it, and load is never the same twice. So where the
comparison speaks against a change, the settings before run again for as long. Only if they do better than the change
did is the change at fault; otherwise it comes back.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.decision import Decision
from stablehand_tuner.evidence import trial
from stablehand_tuner.observe.observation import Observation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

# What only a comparison with another time shows; errors, a blocked loop or full memory need none.
COMPARED = frozenset({Reason.TRIAL_THROUGHPUT, Reason.TRIAL_LATENCY, Reason.TRIAL_UNCLEAR, Reason.TRIAL_NO_GAIN})
AS_GOOD = 0.95  # a response time that is shorter by less than this share proves nothing


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A change that seemed to harm: how it began, what was seen of it, and what is held against it."""

    change: Decision
    tried: Observation
    reason: Reason

    def confirmed(self, again: Observation) -> bool:
        """Tell whether the settings before, running again, do better than the change did.

        As well is enough where more slots gained nothing.
        """
        if self.reason is Reason.TRIAL_NO_GAIN:
            return not trial.response_worse(self.tried, again, AS_GOOD)
        if self.reason is Reason.TRIAL_LATENCY:
            return trial.tail_worse(again, self.tried)
        return trial.response_worse(again, self.tried, AS_GOOD)

    def to_mapping(self) -> dict[str, Any]:
        """Return the doubt as plain JSON."""
        return {
            "change": self.change.to_mapping(),
            "tried": self.tried.to_mapping(),
            "reason": self.reason.value,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Doubt:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(
            change=Decision.from_mapping(fields["change"]),
            tried=Observation.from_mapping(fields["tried"]),
            reason=Reason(fields["reason"]),  # type: ignore[call-arg]  # a lookup by value, not a new member
        )
