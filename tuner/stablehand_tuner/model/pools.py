"""The ceiling that the app's connection pool is: it is known before any request has had to wait for a connection.

The threads of a process that need a connection each are no more than the pool can give; beyond that, more processes are
the way, each with a pool of its own. How many of the threads need one shows while several requests are served at once;
until then, each is assumed to.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.model.ceiling import Ceiling, Level
from stablehand_tuner.model.ceilings import Limit
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

SEVERAL = 2.0  # requests in the app of one process, from which on it shows how many of them hold a connection
MARGIN = 1.25  # times the connections that are in use: they are a mean
LEAST_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class PoolCeiling(Ceiling):
    """A ceiling that nobody has had to find."""

    size: int = 0

    def __str__(self) -> str:
        """Return a sentence's worth of it, for messages."""
        return f"with more than {self.good} slots of {self.level} requests wait for its pool of {self.size} connections"


def limits(observation: Observation, current: Settings) -> tuple[Limit, ...]:
    """Return the ceiling of the pool; nothing without one, or under asgi, whose slots are connections of clients."""
    if observation.pool_size < 1 or current.worker_class is WorkerClass.ASGI:
        return ()
    slots = max(1, math.floor(observation.pool_size / _share(observation, current)))
    ceiling = PoolCeiling(
        Level.PROCESS, Reason.TRIAL_ERRORS, slots, slots + 1, None, math.inf, size=int(observation.pool_size)
    )
    return (Limit(ceiling, slots),)


def _share(observation: Observation, current: Settings) -> float:
    """Return the share of the requests in the app that hold a connection."""
    in_app = observation.in_app / (observation.pods * current.workers)
    if in_app < SEVERAL or current.slots_per_worker == 1:
        return 1.0
    return min(1.0, max(LEAST_SHARE, MARGIN * observation.pool_in_use / in_app))
