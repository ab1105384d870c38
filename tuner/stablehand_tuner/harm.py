"""Harm that needs no comparison with another time: errors, a blocked event loop, exceeded memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.load import FULL_WORKER
from stablehand_tuner.memory import FULL_MEMORY
from stablehand_tuner.reasons import Reason
from stablehand_tuner.room import EVENT_LOOPS

if TYPE_CHECKING:
    from stablehand_tuner.observation import Observation
    from stablehand_tuner.settings import Settings

MORE_ERRORS = 0.01  # of all requests
EARLY_BLOCKED_SECONDS = 1.0
BLOCKED_SECONDS = 0.1  # by which a periodic timer is late on average: no event loop that works is
BLOCKED_SECONDS_WHEN_FULL = 0.5  # the same while the process fills its core, where the loop's own turns take long
MORE_BLOCKED = 2.0  # times the lag of before, where an event loop ran already


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial or a canary ended: `reason` says whether it passed, or the harm done; `message` has the numbers."""

    reason: Reason
    message: str

    @property
    def passed(self) -> bool:
        """Whether the change stays."""
        return self.reason in {Reason.TRIAL_PASSED, Reason.CANARY_PASSED}


def killed(after: Observation) -> Outcome | None:
    """Return the harm if a worker was killed for its memory."""
    if not after.oom_exits:
        return None
    return Outcome(Reason.TRIAL_MEMORY, f"{after.oom_exits:.0f} workers were killed for their memory")


def memory_full(after: Observation, settings: Settings) -> Outcome | None:
    """Return the harm if the workers of a pod nearly fill its memory."""
    memory, limit = after.worker_memory_bytes_mean, after.memory_limit_bytes
    if memory is None or limit is None or memory * settings.workers <= FULL_MEMORY * limit:
        return None
    used = memory * settings.workers
    return Outcome(Reason.TRIAL_MEMORY, f"the workers use {used / 2**20:.0f} of {limit / 2**20:.0f} MiB of memory")


def loop_blocked(before: Observation | None, after: Observation, settings: Settings, *, early: bool) -> Outcome | None:
    """Return the harm if something blocks the event loop, and more so than before if one ran already.

    Args:
        before: what ran before, or runs beside it; None where that is not known.
        after: what runs the settings.
        settings: the settings on trial.
        early: whether only what is beyond doubt counts.
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
    return Outcome(
        Reason.TRIAL_LAG,
        f"the event loop is {after.lag_seconds_mean * 1000:.0f} ms late on average: something blocks it",
    )


def errors(before: Observation, after: Observation) -> Outcome:
    """Return the harm of errors, with both shares."""
    return Outcome(
        Reason.TRIAL_ERRORS, f"{after.error_share:.1%} of the requests fail, {before.error_share:.1%} did before"
    )
