"""What --autotune has to tell after a look at the server, whether by a table or by lines of log."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.observation import Observation


@dataclasses.dataclass(frozen=True)
class View:
    """What there is to show after a tick: `decisions` are the last that were no hold, the newest first."""

    settings: Settings | None
    observation: Observation | None
    decision: Decision
    decisions: tuple[Decision, ...]
    is_news: bool
