"""A decision: what to do, why, and the numbers that it rests on."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(str, enum.Enum):
    """What the caller of the tuner has to do."""

    HOLD = "hold"
    RECOMMEND = "recommend"
    TRY = "try"
    CANARY = "canary"
    PROMOTE = "promote"
    APPLY = "apply"
    KEEP = "keep"
    ROLL_BACK = "roll_back"

    def __str__(self) -> str:
        """Return the name that labels metrics."""
        return self.value


@dataclasses.dataclass(frozen=True)
class Decision:
    """One decision of one step.

    Attributes:
        action: what to do.
        reason: why, as a stable code.
        message: why, in a sentence with the numbers.
        settings: what every server should run from now on (`apply`, `promote`, `roll_back`), what `pod` alone should
            run (`canary`), or one worker of it (`try`), what stays (`keep`), or what is advised (`recommend`); None for
            `hold`.
        evidence: the numbers of `message`, named after the fields of `Observation` where they are among them.
        pod: the canary of `canary` and `promote`, the pod of `try`, and that of the `roll_back` that ends either:
            there `settings` is what the others ran all the time.
        needs: what the tuner would have to know to be more certain, a sentence each.
    """

    action: Action
    reason: Reason
    message: str
    settings: Settings | None = None
    evidence: Mapping[str, float] = dataclasses.field(default_factory=dict)
    pod: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def changes_settings(self) -> bool:
        """Whether the settings have to be written for every server; `TunerState.canary` and `.trial` are the rest."""
        return self.action in {Action.APPLY, Action.PROMOTE, Action.ROLL_BACK}

    def to_mapping(self) -> dict[str, Any]:
        """Return the decision as plain JSON."""
        return {
            "action": self.action.value,
            "reason": self.reason.value,
            "message": self.message,
            "settings": None if self.settings is None else self.settings.to_mapping(),
            "evidence": dict(self.evidence),
            "pod": self.pod,
            "needs": list(self.needs),
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Decision:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        settings = fields["settings"]
        return cls(
            action=Action(fields["action"]),
            reason=Reason(fields["reason"]),  # type: ignore[call-arg]  # mypy takes __new__ for the lookup by value
            message=str(fields["message"]),
            settings=None if settings is None else Settings.from_mapping(settings),
            evidence={str(name): float(value) for name, value in fields["evidence"].items()},
            pod=None if fields["pod"] is None else str(fields["pod"]),
            needs=tuple(str(each) for each in fields["needs"]),
        )
