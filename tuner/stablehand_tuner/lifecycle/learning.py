"""What a change that ended teaches about how many slots there may be."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.model.ceiling import Level
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.observe.observation import Observation

# What more slots can do, by themselves: memory is remembered apart, and anything else has other causes.
OF_MORE_SLOTS = frozenset({Reason.TRIAL_ERRORS, Reason.TRIAL_NO_GAIN, Reason.TRIAL_THROUGHPUT, Reason.TRIAL_LAG})
NEXT_STEP = 2.2  # times the slots: no step of a climb has many more
THREADED = frozenset({WorkerClass.SYNC, WorkerClass.GTHREAD})


def with_ceiling(
    known: Known,
    reason: Reason,
    *,
    good: Settings,
    bad: Settings,
    seen: Observation,
    now: float,
    cores_full: bool = False,
) -> Known:
    """Add the ceiling between two settings, if it is one.

    Args:
        known: what was known.
        reason: what the worse settings did.
        good: settings that did no harm.
        bad: settings with more slots, that did, of the same class or of threads instead of sync.
        seen: what the good ones showed.
        now: Unix seconds.
        cores_full: whether the cores are what is short: then they are of the whole pod.
    """
    # a sync worker is one thread: that a second one gains nothing is no matter of the class, but that requests fail is
    alike = bad.worker_class is good.worker_class or (
        {good.worker_class, bad.worker_class} <= THREADED and reason is not Reason.TRIAL_ERRORS
    )
    if reason not in OF_MORE_SLOTS or not alike or bad.slots <= good.slots:
        return known
    if reason is Reason.TRIAL_LAG and bad.slots > NEXT_STEP * good.slots:
        return known  # a queue that so many slots let in at once makes a loop late for a while, and only then
    level = _level(reason, good, bad, cores_full=cores_full)
    found = known.ceilings.with_found(
        level,
        reason,
        good=max(1, level.slots(good, seen.pods)),
        bad=level.slots(bad, seen.pods),
        cost=seen.cpu_seconds_per_request,
        now=now,
    )
    return dataclasses.replace(known, ceilings=found)


def _level(reason: Reason, good: Settings, bad: Settings, *, cores_full: bool) -> Level:
    """Return what probably has the ceiling; further steps show whether it has.

    Several requests in one process where there was one: that is what such code cannot bear. Otherwise what refuses
    requests is shared by all pods, like a database. What only serves no more is a lock or a pool of the process, unless
    the cores are full, or the slots were in more processes.
    """
    grew_inside = bad.slots_per_worker > good.slots_per_worker
    if reason is Reason.TRIAL_ERRORS:
        return Level.PROCESS if grew_inside and good.slots_per_worker == 1 else Level.APP
    return Level.PROCESS if grew_inside and bad.workers <= good.workers and not cores_full else Level.POD
