"""Whether something blocks the event loop of the settings that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.model.compose import EVENT_LOOPS
from stablehand_tuner.observe.load import FULL_WORKER

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

EARLY_BLOCKED_SECONDS = 1.0
BLOCKED_SECONDS = 0.1  # by which a periodic timer is late on average, as on no event loop that works
BLOCKED_SECONDS_WHEN_FULL = 0.5  # the same while the process fills its core, where the iterations take long
MORE_BLOCKED = 2.0  # times the lag of before, where an event loop ran already


def blocked(before: Observation | None, after: Observation, settings: Settings, *, early: bool) -> str | None:
    """Return a sentence if something blocks the event loop, and more so than before if one ran already.

    Args:
        before: what ran before, or runs beside it; None where that is not known.
        after: what runs the settings.
        settings: the settings on trial.
        early: whether only a clear case counts.
    """
    if settings.worker_class not in EVENT_LOOPS:
        return None
    allowed = BLOCKED_SECONDS_WHEN_FULL if after.busiest_worker_cores >= FULL_WORKER else BLOCKED_SECONDS
    if early:
        allowed = EARLY_BLOCKED_SECONDS
    ran = None if before is None else before.settings_active
    if before is not None and ran is not None and ran.worker_class is settings.worker_class:
        allowed = max(allowed, MORE_BLOCKED * before.lag_seconds_mean)
    if after.lag_seconds_mean < allowed:
        return None
    return f"the event loop is {after.lag_seconds_mean * 1000:.0f} ms late on average: something blocks it"
