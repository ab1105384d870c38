"""The load of the mean pod: what the model reads of an observation."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.observe.gil import share_without_gil_wait

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

FULL_WORKER = 0.85  # cores used by one process, of the one that it can use
FULL_POD = 0.9
FULL_THROTTLED = 0.25
OWN_THREADS = 1.2  # cores used by one process, and for each request in it: from there on the app computes in threads
ALMOST_A_PROCESS = 0.4  # of the cores that one process uses: as much is worth another one


@dataclasses.dataclass(frozen=True)
class Load:
    """The mean over the pods of an observation, as the model reads it; counts, cores, seconds."""

    cpu_share: float
    cores: float
    cores_used: float
    in_app: float
    waiting: float
    demand: float
    peak_demand: float
    connections: float
    worker_full: bool
    pod_full: bool
    relative_error: float = 0.0
    cores_per_process: float = 1.0
    cpu_seconds: float = math.inf  # of a request
    cores_awaited: float = 0.0  # threads that could run, but wait for a core that others use
    children_share: float = 0.0  # of the CPU seconds: what processes use that the app has started
    cores_per_request: float = 1.0  # more where requests compute in threads of the app's own

    @property
    def whole_cores(self) -> int:
        """Processes that are needed to compute on all cores at once."""
        if self.cores_per_request > 1:
            return max(1, int(self.cores / self.cores_per_request + ALMOST_A_PROCESS))
        return max(1, math.ceil(self.cores / min(self.cores_per_process, max(1.0, self.cores)) - 0.01))

    @classmethod
    def of(cls, observation: Observation, current: Settings) -> Load:
        """Return the load of the mean pod under its current settings.

        Raises:
            ValueError: when there were no requests.
        """
        apparent = observation.cpu_share
        if apparent is None:
            raise ValueError("an observation without requests shows no load")
        pods = observation.pods
        cores = observation.cores / pods
        processes = pods * current.workers
        share = apparent
        if observation.cores_per_process <= 1:
            own_seconds = observation.cpu_seconds_total - observation.children_cpu_seconds_total
            in_process, burnt = observation.in_app / processes, own_seconds / observation.seconds / processes
            share = max(apparent, share_without_gil_wait(in_process, burnt))
        cores_used = observation.cores_used / pods
        return cls(
            cpu_share=max(0.001, share),
            cores=cores,
            cores_used=cores_used,
            in_app=observation.in_app / pods,
            waiting=observation.waiting / pods,
            demand=observation.demand / pods,
            peak_demand=observation.peak_demand / pods,
            connections=observation.connections / pods,
            worker_full=observation.busiest_worker_cores >= FULL_WORKER * min(observation.cores_per_process, cores),
            relative_error=observation.relative_error,
            cores_per_process=observation.cores_per_process,
            cpu_seconds=observation.cpu_seconds_per_request or math.inf,
            cores_awaited=observation.cores_awaited / pods,
            children_share=observation.children_cpu_seconds_total / max(1e-9, observation.cpu_seconds_total),
            cores_per_request=_cores_per_request(observation, current),
            pod_full=cores_used >= FULL_POD * cores or observation.throttled_share >= FULL_THROTTLED,
        )


def _cores_per_request(observation: Observation, current: Settings) -> float:
    """Return the cores that one request keeps busy in threads of the app's own, as numpy does; 1 where there are none.

    Where a process serves several requests at once, its threads are the server's, and compute for different requests.
    """
    busiest, in_app = observation.busiest_worker_cores, observation.in_app / (observation.pods * current.workers)
    if observation.cores_per_process > 1 or busiest < OWN_THREADS or busiest < OWN_THREADS * max(1.0, in_app):
        return 1.0
    return busiest / max(1.0, in_app)
