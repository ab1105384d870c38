"""What limits the settings: allowed classes, bounds, and memory."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import footprint as footprints
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
    """Return the classes that may be chosen: allowed, importable, not banned; gevent only if nothing blocks its hub.

    An app that runs under asgi is an ASGI app, which no other class serves; and asgi serves others no better than
    threads do. A server that does not say what it can import has what gunicorn brings itself.
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
        and not (each is WorkerClass.GEVENT and observation.blocking_modules)
    )


def process_bounds(policy: Policy, observation: Observation, current: Settings, whole_cores: int) -> Range:
    """Return how many processes a pod may have.

    The user's upper bound counts, else four for each core where memory is known, else one for each core; memory always
    counts: its limit × 0.8 must hold the processes and the one more of a switch. Where the user's lower bound asks for
    more than memory holds, the user is obeyed.
    """
    room = memory_room(observation)
    computed = whole_cores if room is None else min(room, 4 * whole_cores)
    bounds = policy.workers_within(max(1, computed))
    if room is None or bounds.highest <= room:
        return bounds
    # more processes than memory holds only where they run already: to leave is the memory rule's to decide
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
    """Return the wanted settings with no more slots than memory holds; growth stops, what runs is left alone.

    Args:
        policy: its bounds.
        observation: what was seen under the current settings.
        current: what runs.
        wanted: what would run if there were memory enough.
        in_use: how many of a pod's slots requests would be in at once.
        footprint: what is known of a request's memory.
        least_workers: processes that are needed; those beyond make room for requests where memory is short.
        class_of_few: what serves a few slots, where that is another class than the wanted one.
    """
    worker = observation.worker_memory_bytes
    if observation.memory_limit_bytes is None or not worker or wanted.slots <= current.slots:
        return wanted
    request_bytes = footprints.request_bytes(footprint, observation, current)
    in_worker = footprints.in_worker(observation, current)
    fitting = [current]
    for workers in range(wanted.workers, max(1, min(least_workers, wanted.workers)) - 1, -1):
        free = MEMORY_SHARE * observation.memory_limit_bytes - (workers + SURGE) * worker
        more = (
            min(in_use, wanted.slots) - workers * in_worker
        )  # requests beyond those that the workers' memory has in it
        slots = wanted.slots
        if max(0.0, more) * request_bytes > free:
            held = workers * in_worker + max(0.0, free) / request_bytes
            if wanted.worker_class in EVENT_LOOPS:
                held += max(0.0, wanted.slots - in_use)  # connections that idle hold next to nothing
            slots = max(current.slots, workers, int(held))
        if slots == wanted.slots and workers == wanted.workers:
            return wanted
        fewer = compose(policy, wanted.worker_class, workers, slots // workers)
        if current.slots < fewer.slots <= slots:  # the policy's least may be more than memory holds
            fitting.append(fewer)
    best = max(fitting, key=lambda settings: settings.slots)
    if best is current and footprint.request_bytes is None:
        few = dataclasses.replace(wanted, worker_class=class_of_few or wanted.worker_class)
        return _a_step(policy, observation, current, wanted=few, request_bytes=request_bytes)
    return best


def _a_step(
    policy: Policy, observation: Observation, current: Settings, *, wanted: Settings, request_bytes: float
) -> Settings:
    """Return about twice the slots, from which what a request holds can be learnt, if memory surely holds that.

    No room is kept for the process more of a switch: where there is none, a server changes one process after the other.
    """
    worker, limit = observation.worker_memory_bytes or 0.0, observation.memory_limit_bytes or 0.0
    workers = min(current.workers, wanted.workers)
    step = compose(policy, wanted.worker_class, workers, math.ceil(2 * current.slots / workers))
    # what the workers' memory has in it now is counted once: it may be all that requests hold
    held = workers * worker + (step.slots - workers * footprints.in_worker(observation, current)) * request_bytes
    return step if current.slots < step.slots and held <= MEMORY_SHARE * limit else current


def below_ceiling(policy: Policy, current: Settings, wanted: Settings, ceiling: int) -> Settings:
    """Return the wanted settings, with half of the slots that ran out of memory before where they are as many."""
    if not ceiling or wanted.slots < ceiling or wanted.slots <= current.slots:
        return wanted
    half = max(1, ceiling // 2)
    workers = min(wanted.workers, half)
    fewer = compose(policy, wanted.worker_class, workers, half // workers)
    return fewer if current.slots < fewer.slots < ceiling else current


def move_inside(policy: Policy, observation: Observation, current: Settings) -> Settings:
    """Return the settings nearest to the current ones that keep to the bounds and classes of the policy."""
    workers = policy.workers_within(max(1, current.workers)).clamp(current.workers)
    worker_class = current.worker_class
    if worker_class not in policy.worker_classes:
        candidates = candidate_classes(policy, observation) or policy.worker_classes
        # threads serve whatever the others serve; an event loop is a claim that only a trial proves
        order = (WorkerClass.GTHREAD, WorkerClass.SYNC, WorkerClass.GEVENT)
        worker_class = next(each for each in order if each in candidates)
    return compose(policy, worker_class, workers, math.ceil(current.slots / workers))
