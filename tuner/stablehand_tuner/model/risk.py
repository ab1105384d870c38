"""What a change may break in an app, so that one worker tries it first; and what guards that trial.

More threads or connections of a class that has some already, and more processes where there are several, break nothing
that was whole: those climb. Another class may not run the app at all; the first second thread meets code that is not
made for threads; the first second process meets state that only the first one has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.contracts import trial as contract
from stablehand_tuner.contracts.trial import Guard
from stablehand_tuner.model.compose import EVENT_LOOPS
from stablehand_tuner.model.tries import MORE_LOOPS, SEVERAL

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Windows
    from stablehand_tuner.reasons import Reason

# Twice what a canary calls harm: the server may look only at some dozens of requests.
FAILED_SHARE = 0.02
# An event loop that computes is late by tenths of a second; one that something blocks, by as long as that takes.
LATE_SECONDS = 0.5
# Beyond the slowest requests of most apps; the server also compares with what the siblings' requests take.
UNSERVED_SECONDS = 3.0
UNSERVED_TIMES = 5.0  # times a request's mean: the same for slower apps
# A trial that nobody confirms ends by itself: after twice the time that its verdict should take, and some scrapes.
SPARE, SPARE_SECONDS = 2.0, 4.0
# As many as a server lets a worker on trial begin with: one thread alone would show nothing of what threads break.
THREADS_TO_TRY = 4
BOOT_MEMORY = 1.2  # times a worker: what a server wants to have left before it starts one more beside the only one


def of(before: Settings, target: Settings, known: Known) -> str | None:
    """Return what a change may break the app with: a class, or `SEVERAL` processes; None if there is no such risk."""
    first_threads = before.threads == 1 < target.threads
    if target.worker_class is not before.worker_class or first_threads:
        return target.worker_class.value
    if before.workers == 1 < target.workers and known.several is None:
        return SEVERAL
    return None


def tries(before: Settings, target: Settings, known: Known) -> str | None:
    """Return what a change tries, that may turn out to be for nothing; None if it is simply more of what runs."""
    what = of(before, target, known)
    if what is None and target.worker_class in EVENT_LOOPS and target.workers > before.workers:
        return MORE_LOOPS
    return what


def has_room(before: Settings, known: Known, seen: Observation) -> bool:
    """Tell whether one worker can try something beside the others: where there is only one, it is a second process."""
    if before.workers > 1:
        return True
    if known.only_one_process:
        return False
    worker, limit = seen.worker_memory_bytes, seen.memory_limit_bytes
    return worker is None or limit is None or limit - worker >= BOOT_MEMORY * worker


def lasting_seconds(windows: Windows, baseline: Observation, before: Settings) -> float:
    """Return after how long a worker on trial should have served enough requests for a verdict, at the present load."""
    share = 1 / max(2, before.workers)
    served = baseline.requests_per_second / baseline.pods * share
    needed = windows.minimum_requests / served if served else windows.canary_seconds
    return min(max(needed, windows.trial_seconds), max(windows.canary_seconds, windows.trial_seconds))


def trial(
    number: int, target: Settings, goal: Settings, windows: Windows, *, baseline: Observation, before: Settings
) -> contract.Trial:
    """Return the trial of what a target's workers run, with its guard.

    Args:
        number: its id.
        target: what all would run next.
        goal: where that leads: a step that has fewer threads than show anything is tried with some of the goal's.
        windows: how long it may take.
        baseline: what led to the change.
        before: what all run.
    """
    seconds = SPARE * lasting_seconds(windows, baseline, before) + SPARE_SECONDS
    return contract.Trial(
        id=number,
        worker_class=target.worker_class,
        threads=max(target.threads, min(goal.threads, THREADS_TO_TRY)),
        worker_connections=target.worker_connections,
        seconds=_possible(seconds),
        guard=guard(baseline),
    )


def step_seconds(windows: Windows, servers: int) -> float:
    """Return how long a step of a climb that servers guard may last: longer than any takes."""
    until_all_run_it = windows.apply_seconds if servers > 1 else 0.0
    return _possible(SPARE * windows.trial_seconds + SPARE_SECONDS + until_all_run_it)


def guard(baseline: Observation) -> Guard:
    """Return what ends a trial before its time."""
    unserved = max(UNSERVED_SECONDS, UNSERVED_TIMES * (baseline.mean_seconds or 0.0))
    return Guard(FAILED_SHARE, LATE_SECONDS, round(min(unserved, contract.UNSERVED_SECONDS[1]), 1))


def _possible(seconds: float) -> float:
    lowest, highest = contract.SECONDS
    return round(min(max(seconds, lowest), highest), 1)


def with_harm(known: Known, what: str, target: Settings, reason: Reason) -> Known:
    """Add that something did harm: it is never tried again for this image."""
    return known.with_several(reason) if what == SEVERAL else known.with_banned(target.worker_class, reason)
