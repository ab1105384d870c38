"""What one pod shows → the settings that suit it best, and why.

The model is Goetz's (Java Concurrency in Practice, 8.2): threads = cores × (1 + wait ÷ compute), with headroom on the
waiting part because requests do not come in lockstep. What demand shows bounds it from above. `docs/tuner.md` explains
it with measurements. Nothing here remembers or waits: `stability` says when not to act.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.load import Load
from stablehand_tuner.proposal import Proposal
from stablehand_tuner.reasons import Reason
from stablehand_tuner.room import candidate_classes, compose, process_bounds
from stablehand_tuner.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_tuner.observation import Observation
    from stablehand_tuner.policy import Policy
    from stablehand_tuner.settings import Range

HEADROOM_OF_WAITING = 2.0  # measured: with it one look at 8 threads finds 97 % of the best, without it 64 %
HEADROOM_OF_DEMAND = 1.5
COMPUTING = 0.75  # from this CPU share on, a second request in the same process only waits for the first
COMPUTING_STAYS = 0.6  # down to this, one sync process for each core stays: time stolen from the machine looks alike
COMPUTING_WHEN_FULL = 0.4  # the same while a process fills its core, where waits for the GIL pass for waiting
MOSTLY_COMPUTING = 0.5  # above it threads lack evidence of waiting: processes serve as well, and without a convoy
GROWING_WORKER = 0.7  # what a process should burn at most when all of its slots are in use
MOST_THREADS = 64  # beyond, an event loop serves the same with less
STAYS_EVENTED = 16  # an app on an event loop goes back to threads only below so many slots per process


@dataclasses.dataclass(frozen=True)
class _Choice:
    """What every branch of the model chooses by."""

    policy: Policy
    load: Load
    current: Settings
    candidates: tuple[WorkerClass, ...]
    processes: Range


def propose(
    policy: Policy, observation: Observation, current: Settings, banned: Collection[WorkerClass] = ()
) -> Proposal:
    """Return the settings that suit what was observed under the current ones.

    Raises:
        ValueError: when the observation has no requests.
    """
    load = Load.of(observation, current)
    choice = _Choice(
        policy,
        load,
        current,
        candidate_classes(policy, observation, banned),
        process_bounds(policy, observation, current, load.whole_cores),
    )
    evidence = _evidence(observation, load)
    if _computes(load, current):
        settings = _for_computing(choice)
        reason, why = Reason.COMPUTE_BOUND, f"{load.share:.0%} of a request is computing on {load.cores:g} cores"
        if load.worker_full and settings.slots > current.slots:
            reason, why = Reason.MORE_PROCESSES, f"{why} and a worker fills its core"
    elif load.pod_full or (load.worker_full and min(load.whole_cores, choice.processes.highest) <= current.workers):
        return Proposal(current, Reason.SATURATED, _saturated(load), evidence)
    elif load.worker_full:
        settings = _more_processes(choice)
        reason = Reason.MORE_PROCESSES
        why = f"a worker fills its core, and {load.cores_used:.1f} of {load.cores:g} cores are in use"
    else:
        settings = _for_waiting(choice)
        evidence["slots_wanted"] = slots_wanted(load)
        reason = Reason.WAITING_DOMINATES
        why = (
            f"{1 - load.share:.0%} of a request is waiting and {load.demand:.0f} requests are in flight "
            f"or wait for a slot"
        )
    if settings.worker_class is not current.worker_class or (settings.slots, settings.workers) != (
        current.slots,
        current.workers,
    ):
        return Proposal(settings, reason, f"{why}: {settings} instead of {current}", evidence)
    if load.pod_full:
        return Proposal(current, Reason.SATURATED, _saturated(load), evidence)
    if reason is Reason.WAITING_DOMINATES and settings.slots < slots_wanted(load):
        message = f"{why}, but the bounds, the allowed classes or the memory end at {current}"
        return Proposal(current, Reason.AT_BOUND, message, evidence)
    return Proposal(current, Reason.WELL_TUNED, f"{why}: {current} suits that", evidence)


def _computes(load: Load, current: Settings) -> bool:
    if current.worker_class is WorkerClass.SYNC and current.workers == load.whole_cores:
        return load.share >= COMPUTING_STAYS
    return load.share >= COMPUTING or (load.worker_full and load.share >= COMPUTING_WHEN_FULL)


def slots_wanted(load: Load) -> int:
    """Return the slots that a pod can make use of: cores × (1 + h × (1 ÷ share - 1)), bounded by demand.

    The bound is the demand's peak with headroom, and at least the demand plus its square root (the safety staffing of
    queueing theory): a light load never opens many slots onto somebody's database.
    """
    useful = load.cores * (1 + HEADROOM_OF_WAITING * (1 / load.share - 1))
    return max(1, math.ceil(min(useful, demanded(load))))


def demanded(load: Load) -> float:
    """Return the slots that demand calls for, whether it waits or computes."""
    staffed = load.demand + math.sqrt(load.demand)
    return max(HEADROOM_OF_DEMAND * max(load.demand, load.peak_demand), staffed)


def _for_computing(choice: _Choice) -> Settings:
    """Return one process for each core, as far as demand calls for them, without threads."""
    workers = choice.processes.clamp(min(choice.load.whole_cores, math.ceil(demanded(choice.load))))
    order = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT)
    worker_class = next((each for each in order if each in choice.candidates), choice.current.worker_class)
    return compose(choice.policy, worker_class, workers, 1)


def _more_processes(choice: _Choice) -> Settings:
    """Spread the slots over more processes, in the class that runs if it may stay."""
    workers = choice.processes.clamp(max(choice.load.whole_cores, choice.current.workers))
    each = math.ceil(max(slots_wanted(choice.load), choice.current.slots) / workers)
    if choice.current.worker_class in choice.candidates:
        return compose(choice.policy, choice.current.worker_class, workers, each)
    return _class_for(choice, workers, each)


def _for_waiting(choice: _Choice) -> Settings:
    load, wanted = choice.load, slots_wanted(choice.load)
    if load.share > MOSTLY_COMPUTING and WorkerClass.SYNC in choice.candidates and wanted <= choice.processes.highest:
        return compose(choice.policy, WorkerClass.SYNC, choice.processes.clamp(wanted), 1)
    # cores that all slots burn together when in use, spread so that no process comes near the one that it can use
    needed = math.ceil(min(load.cores, wanted * load.share) / GROWING_WORKER)
    workers = choice.processes.clamp(min(wanted, load.whole_cores, max(needed, 2)))
    return _class_for(choice, workers, math.ceil(wanted / workers))


def _class_for(choice: _Choice, workers: int, each: int) -> Settings:
    """Choose the class for so many slots in each of so many processes."""
    policy, candidates = choice.policy, choice.candidates
    slots = workers * each
    if each <= 1 and WorkerClass.SYNC in candidates:
        return compose(policy, WorkerClass.SYNC, workers, 1)
    most_threads = min(MOST_THREADS, policy.threads.highest)
    evented = each > (STAYS_EVENTED if choice.current.worker_class is WorkerClass.GEVENT else most_threads)
    if WorkerClass.GEVENT in candidates and (evented or WorkerClass.GTHREAD not in candidates):
        # a connection holds its place also while it idles between two requests
        connected = math.ceil(1.25 * choice.load.connections / workers)
        return compose(policy, WorkerClass.GEVENT, workers, max(each, connected))
    if WorkerClass.GTHREAD in candidates:
        workers = choice.processes.clamp(max(workers, math.ceil(slots / policy.threads.highest)))
        return compose(policy, WorkerClass.GTHREAD, workers, math.ceil(slots / workers))
    if WorkerClass.SYNC in candidates:
        return compose(policy, WorkerClass.SYNC, choice.processes.clamp(slots), 1)
    return choice.current


def _saturated(load: Load) -> str:
    return (
        f"{load.cores_used:.1f} of {load.cores:g} cores are in use and {load.demand:.0f} requests are in flight or "
        "wait for a slot: more concurrency would only add waiting; more replicas or a higher CPU limit would help"
    )


def _evidence(observation: Observation, load: Load) -> dict[str, float]:
    return {
        "requests_per_second": round(observation.requests_per_second, 3),
        "mean_seconds": round(observation.mean_seconds or 0.0, 6),
        "cpu_seconds_per_request": round(observation.cpu_seconds_per_request or 0.0, 6),
        "cpu_share": round(load.share, 4),
        "in_app": round(load.in_app, 2),
        "waiting": round(load.waiting, 2),
        "peak_demand": round(load.peak_demand, 2),
        "cores": round(load.cores, 3),
        "cores_used": round(load.cores_used, 3),
        "busiest_worker_cores": round(observation.busiest_worker_cores, 3),
    }
