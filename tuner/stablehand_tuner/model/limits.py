"""What limits the settings: allowed classes, bounds, and memory."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import footprint as footprints
from stablehand_tuner.model import suitable
from stablehand_tuner.model.compose import EVENT_LOOPS, compose

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_tuner.contracts.settings import Range
    from stablehand_tuner.model.footprint import Footprint
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

MEMORY_SHARE = 0.8
SURGE = 1  # processes that a switch of settings adds for a while


def candidate_classes(
    policy: Policy, observation: Observation, banned: Collection[WorkerClass] = (), current: Settings | None = None
) -> tuple[WorkerClass, ...]:
    """Return the classes that may be chosen: allowed, importable, not banned, and nothing known speaks against them.

    An app that runs under asgi is an ASGI app, which no other class serves; and asgi serves other apps no better than
    threads do. A server that does not report its classes has those that need no further package.
    """
    if current is not None and current.worker_class is WorkerClass.ASGI:
        return (WorkerClass.ASGI,)
    known = observation.available_classes or {WorkerClass.SYNC.value, WorkerClass.GTHREAD.value}
    return tuple(
        each
        for each in policy.worker_classes
        if each.value in known
        and each is not WorkerClass.ASGI
        and each not in banned
        and suitable.why_not(each, observation) is None
    )


def process_bounds(
    policy: Policy, observation: Observation, current: Settings, whole_cores: int, *, only_one: bool = False
) -> Range:
    """Return how many processes a pod may have.

    The upper bound is the user's, else four for each core where memory is known, else one for each core. In any case
    0.8 of the memory limit must hold the processes and the additional one of a switch; but the user's lower bound is
    obeyed even where memory does not hold as many. With `only_one`, a second process did harm: there is none unless the
    user's lower bound demands it, or several run.
    """
    if only_one and current.workers == 1:
        return policy.workers_within(1)
    room = memory_room(observation)
    computed = whole_cores if room is None else min(room, 4 * whole_cores)
    bounds = policy.workers_within(max(1, computed))
    if room is None or bounds.highest <= room:
        return bounds
    # more processes than memory holds only where they run already: `memory` decides whether they have to go
    return dataclasses.replace(bounds, highest=max(bounds.lowest, room, min(current.workers, bounds.highest)))


def memory_room(observation: Observation) -> int | None:
    """Return how many processes the memory limit holds beside a surge, at least 1; None where memory is unknown."""
    if observation.memory_limit_bytes is None or not observation.worker_memory_bytes:
        return None
    return max(1, int(MEMORY_SHARE * observation.memory_limit_bytes / observation.worker_memory_bytes) - SURGE)


def within_memory(
    policy: Policy,
    observation: Observation,
    current: Settings,
    *,
    wanted: Settings,
    in_use: float,
    footprint: Footprint,
    least_workers: int = 1,
    class_of_few: WorkerClass | None = None,
) -> Settings:
    """Return the wanted settings with no more slots than memory holds; growth is limited, what runs is left alone.

    Args:
        policy: its bounds.
        observation: what was seen under the current settings.
        current: what runs.
        wanted: what would run if there were enough memory.
        in_use: how many of a pod's slots would be in use at once.
        footprint: what is known of the memory of a request.
        least_workers: processes that are needed; any others make room for requests where memory is short.
        class_of_few: the class for a few slots, if it is not the wanted one.
    """
    worker = observation.worker_memory_bytes
    if observation.memory_limit_bytes is None or not worker or wanted.slots <= current.slots:
        return wanted
    request_bytes = footprints.request_bytes(footprint, observation, current)
    in_worker = footprints.in_worker(observation, current)
    fitting = [current]
    for workers in range(wanted.workers, max(1, min(least_workers, wanted.workers)) - 1, -1):
        free = MEMORY_SHARE * observation.memory_limit_bytes - (workers + SURGE) * worker
        # requests beyond those whose memory is already in that of the workers
        more = min(in_use, wanted.slots) - workers * in_worker
        slots = wanted.slots
        if max(0.0, more) * request_bytes > free:
            held = workers * in_worker + max(0.0, free) / request_bytes
            if wanted.worker_class in EVENT_LOOPS:
                held += max(0.0, wanted.slots - in_use)  # idle connections hold next to nothing
            slots = max(current.slots, workers, int(held))
        if slots == wanted.slots and workers == wanted.workers:
            return wanted
        fewer = compose(policy, wanted.worker_class, workers, slots // workers)
        if current.slots < fewer.slots <= slots:  # the policy's lower bounds may be more than memory holds
            fitting.append(fewer)
    best = max(fitting, key=lambda settings: settings.slots)
    if best is current and footprint.request_bytes is None:
        few = dataclasses.replace(wanted, worker_class=class_of_few or wanted.worker_class)
        return _a_step(policy, observation, current, wanted=few, request_bytes=request_bytes)
    return best


def _a_step(
    policy: Policy, observation: Observation, current: Settings, *, wanted: Settings, request_bytes: float
) -> Settings:
    """Return about twice the slots, to learn what a request holds, if they certainly fit into the memory.

    No room is kept for the additional process of a switch: without room, a server replaces one process after the other.
    """
    worker, limit = observation.worker_memory_bytes or 0.0, observation.memory_limit_bytes or 0.0
    workers = min(current.workers, wanted.workers)
    step = compose(policy, wanted.worker_class, workers, math.ceil(2 * current.slots / workers))
    # what the requests of now hold is already in the workers' memory
    held = workers * worker + (step.slots - workers * footprints.in_worker(observation, current)) * request_bytes
    return step if current.slots < step.slots and held <= MEMORY_SHARE * limit else current


def below_ceiling(policy: Policy, current: Settings, wanted: Settings, ceiling: int) -> Settings:
    """Return the wanted settings, but only half of a number of slots that ran out of memory before."""
    if not ceiling or wanted.slots < ceiling or wanted.slots <= current.slots:
        return wanted
    half = max(1, ceiling // 2)
    workers = min(wanted.workers, half)
    fewer = compose(policy, wanted.worker_class, workers, half // workers)
    return fewer if current.slots < fewer.slots < ceiling else current


def move_inside(policy: Policy, observation: Observation, current: Settings) -> Settings:
    """Return the settings nearest to the current ones within the bounds and classes of the policy."""
    workers = policy.workers_within(max(1, current.workers)).clamp(current.workers)
    worker_class = current.worker_class
    if worker_class not in policy.worker_classes:
        candidates = candidate_classes(policy, observation) or policy.worker_classes
        # threads serve any app; whether an event loop does, only a trial shows
        order = (WorkerClass.GTHREAD, WorkerClass.SYNC, WorkerClass.GEVENT)
        worker_class = next(each for each in order if each in candidates)
    return compose(policy, worker_class, workers, math.ceil(current.slots / workers))


def move_to_suitable(
    policy: Policy, observation: Observation, current: Settings, banned: Collection[WorkerClass]
) -> Settings | None:
    """Return settings of a class that can serve the app, with as many slots; None where there is no such class."""
    candidates = candidate_classes(policy, observation, banned)
    worker_class = next((each for each in (WorkerClass.GEVENT, WorkerClass.SYNC) if each in candidates), None)
    if worker_class is None:
        return None
    workers = policy.workers_within(max(1, current.workers)).clamp(current.workers)
    return compose(policy, worker_class, workers, math.ceil(current.slots / workers))
