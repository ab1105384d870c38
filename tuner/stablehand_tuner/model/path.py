"""The way from some settings to those that the model wants, in steps of at most twice the slots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.model.compose import EVENT_LOOPS, compose

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.policy import Policy

MOST_TIMES = 2  # slots after a step, in those before it


def next_step(policy: Policy, current: Settings, goal: Settings, connections: float = 0.0) -> Settings:
    """Return the settings of the next step from the current ones to the goal; the goal where it is near enough.

    The slots at most double, in steps of about the same factor, so that none is too small to show a difference. The
    class is the goal's from the first step on. Processes come first, up to one for each slot, because a later step to
    more processes costs a boot, and one to more slots in each costs nothing.

    Args:
        policy: its bounds, which may make a step greater.
        current: what runs.
        goal: what the model wants, with more slots.
        connections: those that clients keep open in a pod: an event loop is never given fewer, idle or not.
    """
    if goal.slots <= MOST_TIMES * current.slots:
        return goal
    steps = math.ceil(math.log(goal.slots / current.slots, MOST_TIMES) - 1e-9)
    most = MOST_TIMES * current.slots
    slots = min(most, math.ceil(current.slots * (goal.slots / current.slots) ** (1 / steps) - 1e-9))
    least_each = 1
    if goal.worker_class is current.worker_class:
        # fewer slots in a process take a new one; they only become fewer if they have to
        least_each = min(current.slots_per_worker, goal.slots_per_worker)
    workers = max(1, min(goal.workers, (slots if goal.slots_per_worker == 1 else most) // least_each))
    each = max(least_each, math.ceil(slots / workers))
    if workers * each > most:
        each = max(least_each, most // workers)
    if goal.worker_class in EVENT_LOOPS:
        each = max(each, math.ceil(1.25 * connections / workers))
    step = compose(policy, goal.worker_class, workers, each)
    return step if current.slots < step.slots < goal.slots else goal


def in_as_many_processes(policy: Policy, current: Settings, goal: Settings) -> Settings | None:
    """Return about the goal's slots in as many processes as now, where its threads are to be in fewer; else None."""
    if goal.worker_class is not WorkerClass.GTHREAD or goal.workers >= current.workers:
        return None
    if current.worker_class not in {WorkerClass.SYNC, WorkerClass.GTHREAD}:
        return None
    return compose(policy, goal.worker_class, current.workers, math.ceil(goal.slots / current.workers))
