"""What each objective makes of the model: the same load, other choices."""

from __future__ import annotations

import dataclasses

from stablehand_tuner.policy import Objective


@dataclasses.dataclass(frozen=True)
class Aim:
    """The numbers by which an objective chooses.

    Attributes:
        headroom_of_demand: slots for each request that wants to be inside the app.
        least_processes: of an app that waits, if demand calls for so many slots.
        busy_process: cores that one process should burn at most when all slots are in use.
        threads_up_to: the CPU share above which processes serve a waiting app rather than threads, where memory is
            known: fewer requests then wait for each other's lock, and every process costs its memory.
        low_mark: the share of the slots that have to be in use before there are more.
    """

    headroom_of_demand: float
    least_processes: int
    busy_process: float
    threads_up_to: float
    low_mark: float


AIMS = {
    # nobody waits for a slot or for somebody else's lock, whatever stands idle for that
    Objective.LATENCY: Aim(2.0, 2, 0.5, 0.3, 0.4),
    Objective.THROUGHPUT: Aim(1.5, 2, 0.7, 0.5, 0.5),
    # as little as holds the demand
    Objective.COST: Aim(1.2, 1, 0.85, 0.75, 0.7),
}
