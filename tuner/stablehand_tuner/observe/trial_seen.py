"""What a server reports of a trial on one worker: how far it is, and what that worker does beside its siblings.

Both sides are seen in the same two scrapes, so a load that changes changes both. What the server counts as a whole is
shared out: connections that wait in the kernel by the requests that each side serves, because any worker may accept
them; requests that wait inside a worker by the connections beyond its slots.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.observe.observation import CounterReset, observe

if TYPE_CHECKING:
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.snapshot import Snapshot

RUNNING = "running"


@dataclasses.dataclass(frozen=True)
class TrialSeen:
    """What one server reports of trials.

    Attributes:
        id: of the trial that runs, or ran last; 0 before the first.
        state: of that trial, one of `metric_names.TRIAL_STATES`; empty before the first.
        worker: what the worker on trial did between two scrapes; None unless it served at both.
        siblings: what all others did in the same time; `workers_ready` is how many they are.
    """

    id: int
    state: str
    worker: Observation | None = None
    siblings: Observation | None = None


def observe_trial(earlier: Snapshot, later: Snapshot) -> TrialSeen | None:
    """Return what two scrapes of one server show of a trial; None where it does not know trials, or contradicts itself.

    Durations of single requests are not known by worker, so neither side has any.
    """
    now, before = later.trial, earlier.trial
    if now is None:
        return None
    seen = TrialSeen(now.id, now.state)
    if before is None or now.state != RUNNING or before != now or now.worker is None:
        return seen
    ours = frozenset({now.worker})
    theirs = frozenset(later.workers) - ours
    if not ours <= earlier.workers.keys() or not theirs:
        return seen
    try:
        whole = observe(earlier, later)
        worker, siblings = (observe(_only(earlier, each), _only(later, each)) for each in (ours, theirs))
    except (CounterReset, ValueError):
        return seen  # the server has restarted, and reports another trial next time, or none
    requests = worker.requests + siblings.requests
    inside = worker.queued_seconds_total + siblings.queued_seconds_total
    known = min(1.0, whole.queued_seconds_total / inside) if inside else 0.0
    outside = max(0.0, whole.queued_seconds_total - inside)  # a proxy's mark counts the kernel's queue as well
    sides = []
    for side, number in ((worker, 1.0), (siblings, float(_serving(later, theirs)))):
        share = side.requests / requests if requests else 0.0
        sides.append(
            dataclasses.replace(
                side,
                backlog=whole.backlog * share,
                queued_seconds_total=side.queued_seconds_total * known + outside * share,
                duration_buckets=(),
                workers_ready=number,
            )
        )
    return dataclasses.replace(seen, worker=sides[0], siblings=sides[1])


def _only(snapshot: Snapshot, indexes: frozenset[int]) -> Snapshot:
    """Return the snapshot with these workers alone, and without the queue of all."""
    workers = {index: each for index, each in snapshot.workers.items() if index in indexes}
    return dataclasses.replace(snapshot, workers=workers, queue_seconds=None)


def _serving(snapshot: Snapshot, indexes: frozenset[int]) -> int:
    return max(1, sum(snapshot.workers[index].slots > 0 for index in indexes))
