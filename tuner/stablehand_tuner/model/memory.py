"""Memory is a hard limit: settings that exceed it shrink at once, whatever that costs in speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.model.compose import compose
from stablehand_tuner.model.limits import MEMORY_SHARE
from stablehand_tuner.model.proposal import Proposal
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

FULL_MEMORY = 0.95  # of the limit: above it, the settings have to shrink at once


def relieve_memory(policy: Policy, observation: Observation, current: Settings) -> Proposal | None:
    """Return smaller settings when the workers exceed their share of the memory or one was killed for it, else None.

    At least one process is removed; where there is only one, an OOM kill halves its threads, because each request holds
    memory.
    """
    limit, worker = observation.memory_limit_bytes, observation.worker_memory_bytes
    mean = observation.worker_memory_bytes_mean
    used = None if mean is None else mean * current.workers
    full = limit is not None and used is not None and used > FULL_MEMORY * limit
    if not full and not observation.oom_exits:
        return None
    room = current.workers - 1
    if limit is not None and worker:
        room = min(room, int(MEMORY_SHARE * limit / worker))
    workers = max(policy.workers_lowest, 1, room)
    slots_each = current.slots_per_worker
    if workers >= current.workers:
        if not observation.oom_exits:
            return None
        workers, slots_each = current.workers, max(1, slots_each // 2)
    settings = compose(policy, current.worker_class, workers, slots_each)
    if settings.slots >= current.slots:
        return None
    why = "a worker was killed for its memory" if observation.oom_exits else "the workers fill the memory"
    if used is not None and limit is not None:
        why = f"{why} ({used / 2**20:.0f} of {limit / 2**20:.0f} MiB)"
    evidence = {
        "oom_exits": observation.oom_exits,
        "worker_memory_bytes": worker or 0.0,
        "memory_limit_bytes": limit or 0.0,
    }
    return Proposal(settings, Reason.MEMORY, f"{why}: {settings} instead of {current}", evidence)
