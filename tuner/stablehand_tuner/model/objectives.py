"""The numbers by which each objective chooses settings for the same load."""

from __future__ import annotations

import dataclasses

from stablehand_tuner.policy import Objective


@dataclasses.dataclass(frozen=True)
class Aim:
    """The numbers by which an objective chooses.

    Attributes:
        headroom_of_demand: slots for each request in demand.
        least_processes: for an app that waits, if demand calls for as many slots.
        busy_process: cores that one process should use at most when all slots are in use.
        threads_up_to: the CPU share above which processes serve a waiting app rather than threads, where memory is
            known: fewer requests then wait for each other's lock, but every process costs memory.
        low_mark: the share of the slots that have to be in use before there are more.
    """

    headroom_of_demand: float
    least_processes: int
    busy_process: float
    threads_up_to: float
    low_mark: float


AIMS = {
    # requests should wait neither for a slot nor for a lock, even if that leaves resources idle
    Objective.LATENCY: Aim(2.0, 2, 0.5, 0.3, 0.4),
    Objective.THROUGHPUT: Aim(1.5, 2, 0.7, 0.5, 0.5),
    # the least that is enough for the demand
    Objective.COST: Aim(1.2, 1, 0.85, 0.75, 0.7),
}
