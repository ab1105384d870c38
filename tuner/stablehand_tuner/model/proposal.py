"""What the model would run; the gate decides whether it may."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.reasons import Reason


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What the model would run, and why. If `settings` are those that run, `reason` is why there are no better ones.

    `alternative` is the other choice where so few requests leave two; empty where all that they allow leads to the
    same. `needs` is what would have to be known to choose better, a sentence each.
    """

    settings: Settings
    reason: Reason
    message: str
    evidence: Mapping[str, float]
    alternative: str = ""
    needs: tuple[str, ...] = ()
