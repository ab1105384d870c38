"""Harm that needs no comparison with another time: errors, a blocked event loop, exceeded memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.model import event_loop
from stablehand_tuner.model.memory import FULL_MEMORY
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

MORE_ERRORS = 0.01  # of all requests


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a trial or a canary ended: `reason` is that it passed, or the harm done; `message` has the numbers."""

    reason: Reason
    message: str

    @property
    def passed(self) -> bool:
        """Whether the change stays."""
        return self.reason in {Reason.TRIAL_PASSED, Reason.CANARY_PASSED}


def killed(after: Observation) -> Verdict | None:
    """Return the harm if a worker was killed for its memory."""
    if not after.oom_exits:
        return None
    return Verdict(Reason.TRIAL_MEMORY, f"{after.oom_exits:.0f} workers were killed for their memory")


def memory_full(after: Observation, settings: Settings) -> Verdict | None:
    """Return the harm if the workers of a pod nearly fill its memory."""
    memory, limit = after.worker_memory_bytes_mean, after.memory_limit_bytes
    if memory is None or limit is None or memory * settings.workers <= FULL_MEMORY * limit:
        return None
    used = memory * settings.workers
    return Verdict(Reason.TRIAL_MEMORY, f"the workers use {used / 2**20:.0f} of {limit / 2**20:.0f} MiB of memory")


def loop_blocked(before: Observation | None, after: Observation, settings: Settings, *, early: bool) -> Verdict | None:
    """Return the harm if something blocks the event loop; the arguments are those of `event_loop.blocked`."""
    blocked = event_loop.blocked(before, after, settings, early=early)
    return None if blocked is None else Verdict(Reason.TRIAL_LAG, blocked)


def errors(before: Observation, after: Observation) -> Verdict:
    """Return the harm that errors rose, with both shares."""
    return Verdict(
        Reason.TRIAL_ERRORS, f"{after.error_share:.1%} of the requests fail, {before.error_share:.1%} did before"
    )
