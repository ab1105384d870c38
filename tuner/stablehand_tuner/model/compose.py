"""Settings from a class, a number of processes and the slots of each; and whether they are growth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from stablehand_tuner.policy import Policy

EVENT_LOOPS = frozenset({WorkerClass.GEVENT, WorkerClass.ASGI})  # whose slots are connections


def compose(policy: Policy, worker_class: WorkerClass, workers: int, slots_each: int) -> Settings:
    """Return the settings of a class with these workers and, within the policy's bounds, these slots in each."""
    connections = policy.worker_connections
    return Settings(
        worker_class=worker_class,
        workers=workers,
        threads=policy.threads.clamp(slots_each) if worker_class is WorkerClass.GTHREAD else 1,
        worker_connections=connections.clamp(slots_each) if worker_class in EVENT_LOOPS else connections.highest,
    )


def smaller(policy: Policy, current: Settings, slots: int) -> Settings:
    """Return the settings of the same class with about this number of slots, and no more than now."""
    if current.worker_class is WorkerClass.GTHREAD:
        return compose(policy, current.worker_class, current.workers, math.ceil(slots / current.workers))
    return compose(policy, current.worker_class, policy.workers_within(slots).clamp(min(slots, current.workers)), 1)


def direction(settings: Settings, current: Settings) -> int:
    """Return 1 for growth (more slots, or as many in more processes), -1 for less, 0 for neither."""
    before, after = (current.slots, current.workers), (settings.slots, settings.workers)
    return (after > before) - (after < before)
