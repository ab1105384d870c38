"""What the model would run, before stability has its say."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.reasons import Reason


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What the model would run, and why. `settings` may be those that run: then `reason` says why no others.

    `alternative` is the other choice where so few requests leave two; empty where all that they allow leads to the
    same. `needs` are sentences on what would have to be known to choose better.
    """

    settings: Settings
    reason: Reason
    message: str
    evidence: Mapping[str, float]
    alternative: str = ""
    needs: tuple[str, ...] = ()
