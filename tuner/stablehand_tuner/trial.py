"""Did it help? The time after a change against the time before it, on the same pods.

A change stays unless it clearly harms: the model had its reasons, and load is never the same twice. So every test of
harm asks for more than chance gives: a ratio that matters, and standard deviations of a Poisson process. But more
slots that serve no more, while requests wait for slots, go back: whatever is short, it is not slots.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner import histogram
from stablehand_tuner.load import FULL_WORKER
from stablehand_tuner.memory import FULL_MEMORY
from stablehand_tuner.reasons import Reason
from stablehand_tuner.settings import WorkerClass

if TYPE_CHECKING:
    from stablehand_tuner.observation import Observation
    from stablehand_tuner.settings import Settings

LOST_THROUGHPUT = 0.85
LOST_BY_LESS = 0.92  # the same for a change to fewer slots: it promises no gain, so it may not cost anything
SAME_DEMAND = 0.9
DEVIATIONS = 3.0
GAIN = 1.1
LEAST_GAIN = 1.05
QUEUED_SHARE = 0.25  # so many requests wait for each slot, and more slots have to show in the throughput
MORE_ERRORS = 0.01  # of all requests
ERROR_DEVIATIONS = 2.0  # fewer than elsewhere: to lose requests costs more than to go back for nothing
EARLY_LOST_THROUGHPUT = 0.5
EARLY_BLOCKED_SECONDS = 1.0
EARLY_REQUESTS = 50.0  # from which on errors end a trial before its time
TAIL_REQUESTS = 200.0  # a p99 of fewer is the two slowest requests
WORSE_TAIL = 1.5
BLOCKED_SECONDS = 0.1  # by which a periodic timer is late on average: no event loop that works is
BLOCKED_SECONDS_WHEN_FULL = 0.5  # the same while the process fills its core, where the loop's own turns take long


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended: `reason` is TRIAL_PASSED or the harm done; `message` has the numbers."""

    reason: Reason
    message: str

    @property
    def passed(self) -> bool:
        """Whether the change stays."""
        return self.reason is Reason.TRIAL_PASSED


def early_harm(before: Observation, after: Observation, settings: Settings) -> Outcome | None:
    """Return harm so clear that the trial need not last its time, else None."""
    if after.oom_exits:
        return Outcome(Reason.TRIAL_MEMORY, f"{after.oom_exits:.0f} workers were killed for their memory")
    if after.requests >= EARLY_REQUESTS and _errors_rose(before, after):
        return Outcome(
            Reason.TRIAL_ERRORS, f"{after.error_share:.1%} of the requests fail, {before.error_share:.1%} did before"
        )
    if settings.worker_class is WorkerClass.GEVENT and after.lag_seconds_mean >= EARLY_BLOCKED_SECONDS:
        return _blocked(after)
    if _throughput_fell(before, after, EARLY_LOST_THROUGHPUT):
        return _slower(before, after)
    return None


def conclude(before: Observation, after: Observation, settings: Settings, *, minimum: float) -> Outcome | None:
    """Judge a trial that lasted its time.

    Args:
        before: the window that led to the change.
        after: the trial, of the same pods.
        settings: what is on trial.
        minimum: requests without which nothing is proven.

    Returns:
        The outcome; None when there were too few requests to tell, so that the trial has to go on.
    """
    harm = early_harm(before, after, settings) or _harm(before, after, settings)
    if harm is not None:
        return harm
    if after.requests < minimum:
        return None
    if _gained_nothing(before, after, settings):
        return Outcome(
            Reason.TRIAL_NO_GAIN,
            f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, though "
            f"{before.waiting:.0f} requests waited for a slot: slots are not what is short",
        )
    return Outcome(
        Reason.TRIAL_PASSED,
        f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, "
        f"p99 {_milliseconds(after.p99_seconds)} instead of {_milliseconds(before.p99_seconds)} inside the app, "
        f"{after.waiting:.0f} waiting for a slot instead of {before.waiting:.0f}",
    )


def _harm(before: Observation, after: Observation, settings: Settings) -> Outcome | None:
    memory, limit = after.worker_memory_bytes_mean, after.memory_limit_bytes
    if memory is not None and limit is not None and memory * settings.workers > FULL_MEMORY * limit:
        used = memory * settings.workers
        return Outcome(Reason.TRIAL_MEMORY, f"the workers use {used / 2**20:.0f} of {limit / 2**20:.0f} MiB of memory")
    if settings.worker_class is WorkerClass.GEVENT:
        full = after.busiest_worker_cores >= FULL_WORKER
        allowed = BLOCKED_SECONDS_WHEN_FULL if full else BLOCKED_SECONDS
        if after.lag_seconds_mean >= allowed:
            return _blocked(after)
    was = before.settings_active
    less = was is not None and settings.slots < was.slots
    if _throughput_fell(before, after, LOST_BY_LESS if less else LOST_THROUGHPUT):
        return _slower(before, after)
    if _tail_worse(before, after):
        return Outcome(
            Reason.TRIAL_LATENCY,
            f"p99 inside the app is {_milliseconds(after.p99_seconds)} instead of "
            f"{_milliseconds(before.p99_seconds)}, and throughput gained nothing",
        )
    return None


def _blocked(after: Observation) -> Outcome:
    return Outcome(
        Reason.TRIAL_LAG,
        f"the event loop is {after.lag_seconds_mean * 1000:.0f} ms late on average: something blocks it",
    )


def _slower(before: Observation, after: Observation) -> Outcome:
    return Outcome(
        Reason.TRIAL_THROUGHPUT,
        f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, "
        f"at {after.demand:.0f} requests in flight or waiting instead of {before.demand:.0f}",
    )


def _errors_rose(before: Observation, after: Observation) -> bool:
    if not after.requests or after.error_share - before.error_share < MORE_ERRORS:
        return False
    # two shares of counts, compared by their pooled standard deviation
    requests = before.requests + after.requests
    pooled = min(1.0, (before.errors + after.errors) / requests)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / max(1.0, before.requests) + 1 / after.requests))
    return after.error_share - before.error_share >= ERROR_DEVIATIONS * deviation


def _throughput_fell(before: Observation, after: Observation, share: float) -> bool:
    if after.demand < SAME_DEMAND * before.demand:
        return False  # fewer requests came: nobody lost any
    lost = before.requests_per_second - after.requests_per_second
    deviation = math.sqrt(before.requests / before.seconds**2 + after.requests / after.seconds**2)
    return after.requests_per_second < share * before.requests_per_second and lost > DEVIATIONS * deviation


def _gained_nothing(before: Observation, after: Observation, settings: Settings) -> bool:
    was = before.settings_active
    if was is None or settings.slots <= was.slots or before.waiting < QUEUED_SHARE * was.slots * before.pods:
        return False
    same_demand = SAME_DEMAND * before.demand <= after.demand <= before.demand / SAME_DEMAND
    return same_demand and after.requests_per_second < LEAST_GAIN * before.requests_per_second


def _tail_worse(before: Observation, after: Observation) -> bool:
    """Tell whether the slowest requests became clearly slower, and nothing was gained for it.

    The whole buckets have to lie apart: interpolation inside one knows nothing.
    """
    if min(before.requests, after.requests) < TAIL_REQUESTS:
        return False
    if after.requests_per_second >= GAIN * before.requests_per_second:
        return False
    was = histogram.quantile_bucket(before.duration_buckets, 0.99)
    is_now = histogram.quantile_bucket(after.duration_buckets, 0.99)
    if was is None or is_now is None or is_now[0] < WORSE_TAIL * was[1]:
        return False
    # what a client sees has the wait for a slot in it: by Little's law, demand ÷ throughput
    response_before = before.demand / before.requests_per_second
    response_after = after.demand / after.requests_per_second
    return response_after > SAME_DEMAND * response_before


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.0f} ms"
