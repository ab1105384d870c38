"""The pure plan of a rolling switch: which workers to start and which to retire, given those that live.

A generation is what the workers of one configuration have in common. Beside the old generation the new one boots with
a surge of one process; only when a new worker is ready does an old one retire. The same plan starts the first
generation, replaces a worker that died, follows a changed number of workers, and undoes a switch: a rollback is a
switch back.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class Phase(enum.Enum):
    """Where a worker process stands in its life."""

    BOOTING = "booting"  # forked, no heartbeat yet: it serves nothing
    READY = "ready"
    RETIRING = "retiring"  # told to finish what it has and go


@dataclasses.dataclass(frozen=True)
class LivingWorker:
    """What the plan needs to know of a worker process; `age` grows with every spawn."""

    pid: int
    index: int
    generation: int
    phase: Phase
    age: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do now. `complete`: the wanted generation is all there and ready, and every other worker retires."""

    spawn: tuple[int, ...] = ()  # worker indexes
    retire: tuple[int, ...] = ()  # process ids
    complete: bool = False


def plan(living: Collection[LivingWorker], *, generation: int, workers: int, replaced: int) -> Plan:
    """Return the next step towards `workers` workers of a generation, at the indexes 0 to workers - 1.

    `replaced` is how many workers of other generations served when the switch began. Of them so many stay as the share
    of new ones that are not ready yet: none of the old capacity goes before the new has come. At most one new worker
    boots at a time, and all processes together, retiring ones too, are at most one more than the larger generation has:
    memory is the limit that kills.
    """
    staying = [worker for worker in living if worker.phase is not Phase.RETIRING]
    old = [worker for worker in staying if worker.generation != generation]
    new: dict[int, LivingWorker] = {}
    surplus: list[LivingWorker] = []
    for worker in sorted((w for w in staying if w.generation == generation), key=lambda w: w.age):
        if worker.index >= workers or worker.index in new:
            surplus.append(worker)
        else:
            new[worker.index] = worker
    ready = {index for index, worker in new.items() if worker.phase is Phase.READY}

    keep = math.ceil(replaced * (1 - len(ready) / workers))
    # First those that serve nothing, then those whose successor is ready, then the oldest.
    old.sort(key=lambda w: (w.phase is not Phase.BOOTING, w.index not in ready, w.age))
    retire = [*surplus, *old[: max(0, len(old) - keep)]]

    missing = [index for index in range(workers) if index not in new]
    if missing and old:
        may_boot = len(ready) == len(new) and len(living) < max(replaced, workers) + 1
        missing = missing[:1] if may_boot else []
    return Plan(
        spawn=tuple(missing),
        retire=tuple(worker.pid for worker in retire),
        complete=len(ready) == workers and len(retire) == len(old) + len(surplus),
    )
