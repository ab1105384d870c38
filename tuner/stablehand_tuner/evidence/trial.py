"""Did it help? The time after a change against the time before it, on the same pods.

A change stays unless it clearly does harm: the model favored it, and load is never the same twice. So every test for
harm requires more than chance gives: a ratio that matters, and several standard deviations of a Poisson process. But
more slots that serve no more requests although requests waited for slots are rolled back: slots are not what is short.
What seems to cost a little is unclear: `doubt` has the settings before run again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_tuner.evidence import harm
from stablehand_tuner.evidence.harm import MORE_ERRORS, Verdict
from stablehand_tuner.observe import histogram
from stablehand_tuner.policy import Objective
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

LOST_THROUGHPUT = 0.85
LOST_BY_LESS = 0.92  # the same for a change that promises no gain, and so must not cost much
UNUSED_SHARE = 0.05  # requests that wait, for each slot, up to which more slots promise no gain
UNCLEAR_LOSS = 0.93  # below this share of the speed before, the settings before are compared once more
SAME_DEMAND = 0.9
DEVIATIONS = 3.0
GAIN = 1.1
LEAST_GAIN = 1.05
QUEUED_SHARE = 0.25  # requests that wait, for each slot, from which on more slots have to raise the throughput
ERROR_DEVIATIONS = 2.0  # fewer than elsewhere: lost requests cost more than a needless roll-back
USUAL_REQUESTS = 30.0
EARLY_LOST_THROUGHPUT = 0.5
EARLY_REQUESTS = 50.0  # from this number on errors end a trial early
TAIL_REQUESTS = 200.0  # the p99 of fewer is only their two slowest
TAIL = 0.99
WORSE_TAIL = 1.25


def early_harm(before: Observation, after: Observation, settings: Settings) -> Verdict | None:
    """Return harm so clear that the trial can end early, else None."""
    killed = harm.killed(after)
    if killed is not None:
        return killed
    if after.requests >= EARLY_REQUESTS and errors_rose(before, after):
        return harm.errors(before, after)
    blocked = harm.loop_blocked(before, after, settings, early=True)
    if blocked is not None:
        return blocked
    if _throughput_fell(before, after, EARLY_LOST_THROUGHPUT):
        return _slower(before, after)
    return None


def conclude(
    before: Observation,
    after: Observation,
    settings: Settings,
    *,
    minimum: float,
    objective: Objective = Objective.THROUGHPUT,
    must_gain: bool = False,
) -> Verdict | None:
    """Judge a trial whose time is over.

    Args:
        before: the window that led to the change.
        after: the trial, of the same pods.
        settings: what is on trial.
        minimum: requests that a verdict needs.
        objective: under `latency` a gain in throughput does not excuse a longer tail.
        must_gain: whether a change that does no harm has to gain something as well.

    Returns:
        The verdict; None when there were too few requests, so that the trial has to continue.
    """
    done = early_harm(before, after, settings) or _harm(before, after, settings, objective)
    if done is not None:
        return done
    if after.requests < minimum:
        return None
    if _gained_nothing(before, after, settings):
        return Verdict(
            Reason.TRIAL_NO_GAIN,
            f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, though "
            f"{before.waiting:.0f} requests waited for a slot: slots are not what is short",
        )
    if must_gain and not _gained(before, after):
        return Verdict(
            Reason.TRIAL_NO_GAIN,
            f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, and "
            f"{_milliseconds(after.response_seconds)} for a request instead of "
            f"{_milliseconds(before.response_seconds)}: no significant gain",
        )
    if response_worse(before, after, UNCLEAR_LOSS):
        return Verdict(
            Reason.TRIAL_UNCLEAR,
            f"a request takes {_milliseconds(after.response_seconds)} with its wait for a slot instead of "
            f"{_milliseconds(before.response_seconds)}, which may be due to the load",
        )
    return Verdict(
        Reason.TRIAL_PASSED,
        f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, "
        f"p99 {_milliseconds(after.p99_seconds)} instead of {_milliseconds(before.p99_seconds)} inside the app, "
        f"{after.waiting:.0f} waiting for a slot instead of {before.waiting:.0f}",
    )


def _harm(before: Observation, after: Observation, settings: Settings, objective: Objective) -> Verdict | None:
    full = harm.memory_full(after, settings) or harm.loop_blocked(before, after, settings, early=False)
    if full is not None:
        return full
    was = before.settings_active
    # neither fewer slots, nor more of them that no request waited for, promise a gain
    promises = was is None or (settings.slots >= was.slots and before.waiting > UNUSED_SHARE * was.slots * before.pods)
    if _throughput_fell(before, after, LOST_THROUGHPUT if promises else LOST_BY_LESS):
        return _slower(before, after)
    # requests that wait behind one that blocks the event loop are not inside the app yet: its p99 leaves that out
    was_blocked = was is not None and harm.loop_blocked(None, before, was, early=False) is not None
    if not was_blocked and tail_worse(before, after, objective):
        return Verdict(
            Reason.TRIAL_LATENCY,
            f"p99 inside the app is {_milliseconds(after.p99_seconds)} instead of "
            f"{_milliseconds(before.p99_seconds)}, without a gain",
        )
    return None


def _slower(before: Observation, after: Observation) -> Verdict:
    return Verdict(
        Reason.TRIAL_THROUGHPUT,
        f"{after.requests_per_second:.1f} requests/s instead of {before.requests_per_second:.1f}, "
        f"at {after.demand:.0f} requests in flight or waiting instead of {before.demand:.0f}",
    )


def errors_rose(
    before: Observation, after: Observation, *, least: float = MORE_ERRORS, deviations: float = ERROR_DEVIATIONS
) -> bool:
    """Tell whether more of the requests fail than before: by a share of all that matters, and by more than chance.

    A few requests before say little about what is usual, but it is usual that requests succeed: so they count with
    USUAL_REQUESTS more that did.
    """
    if not after.requests or after.error_share - before.error_share < least:
        return False
    # two shares of counts, compared by their pooled standard deviation
    requests_before = before.requests + USUAL_REQUESTS
    pooled = min(1.0, (before.errors + after.errors) / (requests_before + after.requests))
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / requests_before + 1 / after.requests))
    return after.error_share - before.errors / requests_before >= deviations * deviation


def _throughput_fell(before: Observation, after: Observation, share: float) -> bool:
    queued = after.waiting >= QUEUED_SHARE * after.slots
    if after.demand < SAME_DEMAND * before.demand and not queued:
        return False  # there was less demand, so nothing was lost
    lost = before.requests_per_second - after.requests_per_second
    deviation = math.sqrt(before.requests / before.seconds**2 + after.requests / after.seconds**2)
    return after.requests_per_second < share * before.requests_per_second and lost > DEVIATIONS * deviation


def _gained_nothing(before: Observation, after: Observation, settings: Settings) -> bool:
    was = before.settings_active
    if was is None or settings.slots <= was.slots or before.waiting < QUEUED_SHARE * was.slots * before.pods:
        return False
    same_demand = SAME_DEMAND * before.demand <= after.demand <= before.demand / SAME_DEMAND
    return same_demand and after.requests_per_second < LEAST_GAIN * before.requests_per_second


def _gained(before: Observation, after: Observation) -> bool:
    """Tell whether significantly more requests are served, or in less time, or with less CPU for each."""
    if after.requests_per_second >= LEAST_GAIN * before.requests_per_second:
        return True
    if (after.response_seconds or 0.0) * LEAST_GAIN <= (before.response_seconds or 0.0):
        return True
    return (after.cpu_seconds_per_request or 0.0) * GAIN <= (before.cpu_seconds_per_request or 0.0)


def tail_worse(before: Observation, after: Observation, objective: Objective = Objective.THROUGHPUT) -> bool:
    """Tell whether the slowest requests became clearly slower, without a gain.

    Of two settings that serve about as many requests, those with the shorter tail are the better ones. What a client
    sees includes the wait for a slot, of which only the mean is known.
    """
    if min(before.requests, after.requests) < TAIL_REQUESTS:
        return False
    gained = after.requests_per_second >= LEAST_GAIN * before.requests_per_second
    if gained and objective is not Objective.LATENCY:
        return False
    was, is_now = before.p99_seconds, after.p99_seconds
    bucket = histogram.quantile_bucket(before.duration_buckets, TAIL)
    if was is None or is_now is None or bucket is None:
        return False
    if is_now + _wait_seconds(after) < WORSE_TAIL * (was + _wait_seconds(before)):
        return False
    if (after.response_seconds or 0.0) <= SAME_DEMAND * (before.response_seconds or 0.0):
        return False  # they waited for a slot before, the last ones longer than on average
    return _more_are_slower(before, after, bucket[1])


def _wait_seconds(seen: Observation) -> float:
    return seen.waiting / seen.requests_per_second


def _more_are_slower(before: Observation, after: Observation, bound: float) -> bool:
    """Tell whether a larger share of the requests takes longer than the bound, by more than chance."""
    slower = [histogram.number_above(each.duration_buckets, bound) for each in (before, after)]
    pooled = sum(slower) / (before.requests + after.requests)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / before.requests + 1 / after.requests))
    return slower[1] / after.requests - slower[0] / before.requests > DEVIATIONS * deviation


def response_worse(before: Observation, after: Observation, share: float) -> bool:
    """Tell whether requests take longer than before ÷ `share`, by more than chance, and not because of more demand.

    The response time (demand ÷ throughput) compares times of different load as far as they can be compared: more
    requests at once take longer under any settings, so then the answer is no.
    """
    was, is_now = before.response_seconds, after.response_seconds
    if not was or not is_now or after.demand > before.demand / SAME_DEMAND:
        return False
    chance = DEVIATIONS * math.sqrt(1 / before.requests + 1 / after.requests)
    return is_now * share > was and math.log(is_now / was) > chance


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.0f} ms"
