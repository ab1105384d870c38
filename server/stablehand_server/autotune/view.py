"""What --autotune reports after each scrape of the server, as a table or as lines of the log."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.observation import Observation


@dataclasses.dataclass(frozen=True)
class View:
    """What there is to show after a tick: `decisions` are the last ones other than hold, the newest first."""

    settings: Settings | None
    observation: Observation | None
    decision: Decision
    decisions: tuple[Decision, ...]
    is_news: bool
