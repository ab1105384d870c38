"""Did one step of a climb serve more? The time on a step against the best step before it, on the same pods.

A step lasts seconds, so few requests may have to tell. Where requests waited for a slot before it and still do, twice
the slots serve up to twice as many requests; behind the knee they serve as many as before. The two are far enough apart
for some dozens of requests. Where no requests wait, throughput cannot rise, and only harm ends the climb.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING

from stablehand_tuner.evidence import harm
from stablehand_tuner.evidence.trial import LEAST_GAIN, LOST_THROUGHPUT, SAME_DEMAND, errors_rose
from stablehand_tuner.observe.load import Load
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.observe.observation import Observation

LEAST_REQUESTS = 20.0  # fewer show no harm, and no knee
FEW_REQUESTS = 4.0  # that many show a gain, if it is large: going on is no mistake, for the next step is judged as well
UNUSED = 0.5  # of the slots: a step of which less is in use is the last
BUSY = 0.6  # of the cores: below it, what a step does not gain is not for want of cores
GAIN_IF_IDLE = 0.25  # the exponent of the possible gain that a step has to bring then: a sixth for twice the slots
LIKE_DEMAND = 0.7  # of the demand before: right after a step, those that queued for the last one still count
SMALL_STEP = 1.25  # times the slots: what such a step gains cannot be told within seconds
MORE_ERRORS = 0.001  # of all requests
ERROR_DEVIATIONS = 3.0
LAST_DEVIATIONS = 2.0  # the same for a step that has lasted as long as any: nobody looks again
DEVIATIONS = 1.5
EVEN = 0.5  # of the deviation of a Poisson process


class Outcome(enum.Enum):
    """What a step showed: the climb may go on, it is over here, or a step less is as good, or better."""

    MORE = "more"
    SERVED = "served"
    NO_GAIN = "no gain"
    HARM = "harm"


@dataclasses.dataclass(frozen=True)
class StepVerdict:
    """How a step ended; the reason is that of a trial that would have ended so.

    `cores_full` is true where no more processes would help, because the pod's cores are busy.
    """

    outcome: Outcome
    reason: Reason
    message: str
    cores_full: bool = False


def served_well(seen: Observation) -> float:
    """Return the requests per second of a pod that did not fail; pods may have come or gone since another step."""
    return (seen.requests_per_second - seen.errors_per_second) / seen.pods


def early_harm(
    best: Observation, seen: Observation, target: Settings, *, baseline: Observation | None = None
) -> StepVerdict | None:
    """Return harm that shows at once: killed workers, failed requests, a blocked event loop.

    Failed requests are compared with those before the climb, the baseline: the steps since then may have failed some as
    well, too few of few requests to tell.
    """
    found = harm.killed(seen)
    # more slots are no reason for any request to fail, so a smaller share than of another change is harm
    usual = best if baseline is None else baseline
    rose = errors_rose(usual, seen, least=MORE_ERRORS, deviations=ERROR_DEVIATIONS)
    if found is None and seen.requests >= LEAST_REQUESTS and rose:
        found = harm.errors(usual, seen)
    if found is None:
        found = harm.loop_blocked(best, seen, target, early=True)
    return None if found is None else StepVerdict(Outcome.HARM, found.reason, found.message)


def judge(  # noqa: PLR0911 (one return a case reads best)
    best: Observation, seen: Observation, target: Settings, *, expected: float, is_last_call: bool
) -> StepVerdict | None:
    """Judge a step that has run for long enough.

    Args:
        best: what the best step before it showed.
        seen: what this one shows.
        target: its settings.
        expected: the throughput, in times of the best step's, by a law that was fitted to all steps.
        is_last_call: whether it has to be decided now, however few requests there were.

    Returns:
        The verdict; None while there is too little to tell.
    """
    if seen.requests < FEW_REQUESTS and not is_last_call:
        return None
    if seen.error_share - best.error_share >= MORE_ERRORS:
        if not is_last_call:
            return None  # more would be harm: it goes on until that is known to be chance, or not
        if errors_rose(best, seen, least=MORE_ERRORS, deviations=LAST_DEVIATIONS):
            return StepVerdict(Outcome.HARM, Reason.TRIAL_ERRORS, harm.errors(best, seen).message)
    found = harm.memory_full(seen, target) or harm.loop_blocked(best, seen, target, early=False)
    if found is not None:
        return StepVerdict(Outcome.HARM, found.reason, found.message)
    if seen.requests < FEW_REQUESTS:
        return StepVerdict(Outcome.MORE, Reason.TRIAL_PASSED, f"only {seen.requests:.0f} requests")
    if seen.demand < UNUSED * target.slots * seen.pods:
        message = f"{seen.demand:.1f} of {target.slots * seen.pods:.0f} slots are in use: no more are needed"
        return StepVerdict(Outcome.SERVED, Reason.TRIAL_PASSED, message)
    return _gain(best, seen, target, expected=expected, is_last_call=is_last_call)


def judge_processes(
    best: Observation, seen: Observation, target: Settings, *, is_last_call: bool
) -> StepVerdict | None:
    """Judge a step that has more event loops: how many of their slots are in use says nothing of what a loop waits for.

    Args:
        best: what the best step before it showed.
        seen: what this one shows.
        target: its settings.
        is_last_call: whether it has to be decided now, however few requests there were.

    Returns:
        The verdict; None while there is too little to tell.
    """
    if seen.requests < LEAST_REQUESTS and not is_last_call:
        return None
    found = harm.memory_full(seen, target) or harm.loop_blocked(best, seen, target, early=False)
    if found is not None:
        return StepVerdict(Outcome.HARM, found.reason, found.message)
    was, now, before = served_well(best), served_well(seen), best.settings_active
    message = f"{now:.1f} requests/s of a pod instead of {was:.1f}"
    if before is None or was <= 0 or now <= 0 or before.workers >= target.workers:
        return StepVerdict(Outcome.MORE, Reason.TRIAL_PASSED, message)
    chance = math.exp(DEVIATIONS * math.sqrt(1 / best.requests + 1 / seen.requests))
    enough = (target.workers / before.workers) ** GAIN_IF_IDLE
    if now / was >= enough and now / was > chance:
        return StepVerdict(Outcome.MORE, Reason.TRIAL_PASSED, message)
    if now / was * chance >= enough and not is_last_call:
        return None
    return StepVerdict(Outcome.NO_GAIN, Reason.TRIAL_NO_GAIN, message, _cores_full(seen, target))


def _gain(  # noqa: PLR0911 (one return a case reads best)
    best: Observation, seen: Observation, target: Settings, *, expected: float, is_last_call: bool
) -> StepVerdict | None:
    was, now = served_well(best), served_well(seen)
    message = f"{now:.1f} requests/s of a pod instead of {was:.1f}"
    more = StepVerdict(Outcome.MORE, Reason.TRIAL_PASSED, message)
    before = best.settings_active
    if before is None or was <= 0 or now <= 0:
        return more
    ratio, deviation = now / was, math.sqrt(1 / best.requests + 1 / seen.requests)
    chance = math.exp(DEVIATIONS * deviation)
    asked, asked_before = seen.demand / seen.pods, best.demand / best.pods
    if asked < LIKE_DEMAND * asked_before:
        return more  # less is asked for, or what was asked for is served at last
    fell = ratio < LOST_THROUGHPUT and ratio * chance < 1 and asked >= SAME_DEMAND * asked_before
    if fell and seen.requests >= LEAST_REQUESTS:
        return StepVerdict(Outcome.NO_GAIN, Reason.TRIAL_THROUGHPUT, message, _cores_full(seen, target))
    # what more slots can serve: in proportion, but no more than is asked for
    possible = min(target.slots, asked, asked_before) / before.slots
    if possible < SMALL_STEP:
        return more
    load = Load.of(seen, target)
    idle = not load.worker_full and load.cores_used < BUSY * load.cores
    enough = max(LEAST_GAIN, possible**GAIN_IF_IDLE) if idle else LEAST_GAIN
    # full slots serve more evenly than at random
    if ratio / math.exp(DEVIATIONS * EVEN * deviation) >= enough:
        return more
    # half of the possible gain, on a logarithmic scale, is what a step before the knee brings at least
    certain = seen.requests >= LEAST_REQUESTS and ratio < enough and ratio * chance < math.sqrt(possible)
    if not certain and not is_last_call:
        return None
    if not certain and max(ratio, expected) >= enough:
        return more
    cores_full = _cores_full(seen, target)
    if cores_full and ratio >= 1:
        # as far as the model wanted, it does no harm, and to go back would replace workers for nothing
        return StepVerdict(Outcome.SERVED, Reason.TRIAL_PASSED, f"{message}, and the cores are full")
    message = f"{message}, though {best.waiting:.0f} waited for a slot"
    return StepVerdict(Outcome.NO_GAIN, Reason.TRIAL_NO_GAIN, message, cores_full)


def _cores_full(seen: Observation, target: Settings) -> bool:
    load = Load.of(seen, target)
    return load.pod_full or (load.worker_full and target.workers >= load.whole_cores)
