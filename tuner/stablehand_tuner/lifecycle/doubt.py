"""A, B, and A again: was it the change, or did the load change at the same time?

On one pod a change can only be compared with the time before it, and load is never the same twice. So where only that
comparison speaks against a change, the settings before it run again for the same time. Only if they do better than the
change did is the change at fault; otherwise it is applied a second time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
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
    """A change that seemed to do harm, and whose settings before run again to find out.

    Attributes:
        target: the settings that it led to.
        evidence: the numbers that it was made for.
        observed: what its trial showed.
        reason: what speaks against it.
    """

    target: Settings
    evidence: Mapping[str, float]
    observed: Observation
    reason: Reason

    def confirmed(self, again: Observation) -> bool:
        """Tell whether the settings before, running again, do better than the change did.

        Where more slots gained nothing, doing as well is enough.
        """
        if self.reason is Reason.TRIAL_NO_GAIN:
            return not trial.response_worse(self.observed, again, AS_GOOD)
        if self.reason is Reason.TRIAL_LATENCY:
            return trial.tail_worse(again, self.observed)
        return trial.response_worse(again, self.observed, AS_GOOD)

    def to_mapping(self) -> dict[str, Any]:
        """Return the doubt as plain JSON."""
        return {
            "target": self.target.to_mapping(),
            "evidence": dict(self.evidence),
            "observed": self.observed.to_mapping(),
            "reason": self.reason.value,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Doubt:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(
            target=Settings.from_mapping(fields["target"]),
            evidence={str(name): float(value) for name, value in fields["evidence"].items()},
            observed=Observation.from_mapping(fields["observed"]),
            reason=Reason(fields["reason"]),  # type: ignore[call-arg]  # a lookup by value, not a new member
        )
