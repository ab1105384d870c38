"""The verdict on a worker that tries something beside its siblings: harm, none, or not decided yet.

Only harm is looked for. What one worker cannot show, such as the throughput of the whole, is judged afterwards. A
worker with more slots than its siblings has more requests at once, so each may take longer: that is harm only where the
worker serves no more for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_tuner.evidence import harm
from stablehand_tuner.evidence.canary_verdict import DEARER, EVIDENCE_OF_HARM
from stablehand_tuner.evidence.harm import MORE_ERRORS, Verdict
from stablehand_tuner.evidence.trial import GAIN
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.evidence.comparison import Comparison
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Windows

# Of the response time: less than between pods, for siblings in one pod have the same cores, and the same moment.
SLOWER = 1.1
EXACT = 0.95  # of a time: scrapes are not exact to the millisecond
CLEAR_SHARE = 0.25  # of the trial's time: enough where many requests were served without harm,
CLEAR_REQUESTS = 5.0  # times the least of a window
LEAST_REQUESTS = 20.0  # fewer are no evidence that a worker does no harm, however long it runs


def judge(
    comparison: Comparison,
    worker: Observation,
    target: Settings,
    windows: Windows,
    *,
    longest: float,
    flees: bool = False,
) -> Verdict | None:
    """Return how the trial ends, or None while it has to go on.

    Args:
        comparison: the worker beside its siblings, up to now.
        worker: what it did, from the moment at which it served.
        target: what all would run.
        windows: how long a trial lasts, and how many requests decide.
        longest: seconds after which it ends, whatever it has shown.
        flees: whether the siblings are what does harm: then they are no measure of how long a request may take.
    """
    siblings = comparison.control
    if siblings is None:
        return None
    long_enough = worker.seconds >= EXACT * windows.trial_seconds and worker.requests >= windows.minimum_requests
    clear = (
        worker.seconds >= EXACT * CLEAR_SHARE * windows.trial_seconds
        and worker.requests >= CLEAR_REQUESTS * windows.minimum_requests
    )
    over = worker.seconds >= EXACT * longest
    found = _harm(comparison, worker, siblings, target, early=not (long_enough or clear or over))
    if found is None and not flees:
        found = _worse(comparison, worker, siblings)
    if found is not None:
        return found
    if long_enough or clear or (over and worker.requests >= LEAST_REQUESTS):
        return Verdict(Reason.TRIAL_PASSED, f"no harm in {worker.requests:.0f} requests: {_numbers(worker, siblings)}")
    if over:
        message = f"{worker.requests:.0f} requests in {worker.seconds:.0f} s are no evidence that it does no harm"
        return Verdict(Reason.WORKER_TRIAL_UNDECIDED, message)
    return None


def _harm(
    comparison: Comparison, worker: Observation, siblings: Observation, target: Settings, *, early: bool
) -> Verdict | None:
    found = (
        harm.killed(worker)
        or harm.memory_full(worker, target)
        or harm.loop_blocked(siblings, worker, target, early=early)
    )
    if found is not None:
        return found
    more_errors = worker.error_share - siblings.error_share
    if more_errors >= MORE_ERRORS and comparison.errors.e_value >= EVIDENCE_OF_HARM:
        message = f"{worker.error_share:.1%} of its requests fail, {siblings.error_share:.1%} of its siblings'"
        return Verdict(Reason.TRIAL_ERRORS, message)
    return None


def _worse(comparison: Comparison, worker: Observation, siblings: Observation) -> Verdict | None:
    """Return a verdict where each request takes longer or costs more, and no more of them are served."""
    if worker.requests_per_second >= GAIN * siblings.requests_per_second / siblings.workers_ready:
        return None
    if comparison.response.above(math.log(SLOWER)) >= EVIDENCE_OF_HARM:
        return Verdict(Reason.TRIAL_LATENCY, _numbers(worker, siblings))
    if comparison.cpu.above(math.log(DEARER)) >= EVIDENCE_OF_HARM:
        ours, theirs = (1000 * (each.cpu_seconds_per_request or 0.0) for each in (worker, siblings))
        return Verdict(Reason.TRIAL_CPU, f"a request costs it {ours:.2f} ms of CPU, its siblings {theirs:.2f} ms")
    return None


def _numbers(worker: Observation, siblings: Observation) -> str:
    ours, theirs = (f"{1000 * (each.response_seconds or 0.0):.0f} ms" for each in (worker, siblings))
    each = siblings.requests_per_second / siblings.workers_ready
    return (
        f"a request takes it {ours} with its wait for a slot, its siblings {theirs}, at "
        f"{worker.requests_per_second:.1f} and {each:.1f} requests/s each"
    )
