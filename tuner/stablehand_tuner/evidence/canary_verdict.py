"""The verdict on a canary by the comparison with its siblings: harm, no harm, or not decided yet.

A canary may draw more requests than its siblings: clients stay with a pod that keeps their connections, and leave one
whose class keeps none. Each then waits longer for a slot, which is no harm of the settings, as long as more are served.

The tests are looked at after every scrape. Four tests may find harm: each needs evidence of 80 to 1, so that all
together blame equal settings in at most one canary of twenty. And a difference has to be large enough to matter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stablehand_tuner.evidence import harm
from stablehand_tuner.evidence.harm import MORE_ERRORS, Verdict
from stablehand_tuner.model.compose import EVENT_LOOPS
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.evidence.comparison import Comparison
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Windows

EVIDENCE_OF_HARM = 80.0
EVIDENCE_OF_NO_HARM = 20.0
SLOWER = 1.2  # times the siblings' response time or more is harm
FASTER = 0.97  # times the siblings' response time or less is a gain
CHEAPER = 0.9  # times the siblings' CPU for a request or less is a gain
NO_SLOWER = 1.1  # times the siblings' response time or less is no harm
DEARER = 1.25  # times the siblings' CPU for a request or more is harm, without a gain
BETTER = 0.9  # times the siblings' response time or less is a gain that may cost something
MORE = 1.25  # times a sibling's requests per second: pods that do the same differ by less
MORE_SLOW = 0.02  # more of all requests being slow is harm, if it is also
TIMES_SLOW = 2.0  # times the siblings' share


def judge(
    comparison: Comparison,
    canary: Observation,
    settings: Settings,
    windows: Windows,
    *,
    served: Settings,
    must_gain: bool = False,
) -> Verdict | None:
    """Return how the canary ends, or None while it has to go on.

    Args:
        comparison: the canary beside its siblings, up to now.
        canary: what the canary did, from its start to now.
        settings: what it runs.
        windows: how long it lasts: `trial_seconds` at least, `canary_seconds` at most, with `minimum_requests`.
        served: what the siblings run.
        must_gain: whether a change that does no harm has to gain something as well.
    """
    siblings = comparison.control
    if siblings is None:
        return None
    done = _harm(comparison, canary, siblings, settings, full=canary.seconds >= windows.trial_seconds)
    if done is not None:
        return done
    # a significant gain needs no number of requests: siblings that rarely answer may leave few for the canary
    enough = canary.requests >= windows.minimum_requests or _gain_shown(comparison)
    good = _no_slower(comparison, NO_SLOWER) or (_serves_more(canary, siblings) and not _needs_proof(settings, served))
    good = good and (not must_gain or _gain_shown(comparison))
    if canary.seconds >= windows.trial_seconds and enough and good:
        return Verdict(Reason.CANARY_PASSED, _numbers(canary, siblings))
    return (
        None
        if canary.seconds < windows.canary_seconds
        else _at_its_end(comparison, canary, settings, enough=enough, served=served, must_gain=must_gain)
    )


def _at_its_end(
    comparison: Comparison, canary: Observation, settings: Settings, *, enough: bool, served: Settings, must_gain: bool
) -> Verdict:
    siblings = comparison.control or canary
    numbers = f"after {canary.seconds:.0f} s and {canary.requests:.0f} requests: {_numbers(canary, siblings)}"
    if not enough:
        return Verdict(Reason.CANARY_UNDECIDED, f"too few requests {numbers}")
    if must_gain:
        return Verdict(Reason.TRIAL_NO_GAIN, f"no gain {numbers}")
    if _needs_proof(settings, served) and not _no_slower(comparison, SLOWER):
        return Verdict(Reason.CANARY_UNDECIDED, f"no clear result {numbers}")
    return Verdict(Reason.CANARY_PASSED, f"no harm {numbers}")


def _needs_proof(settings: Settings, served: Settings) -> bool:
    return settings.worker_class in EVENT_LOOPS and settings.worker_class is not served.worker_class


def _harm(
    comparison: Comparison, canary: Observation, siblings: Observation, settings: Settings, *, full: bool
) -> Verdict | None:
    done = (
        harm.killed(canary)
        or harm.memory_full(canary, settings)
        or harm.loop_blocked(siblings, canary, settings, early=not full)
    )
    if done is not None:
        return done
    more_errors = canary.error_share - siblings.error_share
    if more_errors >= MORE_ERRORS and comparison.errors.e_value >= EVIDENCE_OF_HARM:
        return Verdict(
            Reason.TRIAL_ERRORS,
            f"{canary.error_share:.1%} of the canary's requests fail, {siblings.error_share:.1%} of its siblings'",
        )
    return _slower(comparison, canary, siblings) or _dearer(comparison, canary, siblings)


def _slower(comparison: Comparison, canary: Observation, siblings: Observation) -> Verdict | None:
    longer = comparison.response.above(math.log(SLOWER)) >= EVIDENCE_OF_HARM
    if longer and not _serves_more(canary, siblings):
        return Verdict(Reason.TRIAL_LATENCY, _numbers(canary, siblings))
    ours, theirs = comparison.slow_shares(canary)
    matters = ours >= TIMES_SLOW * theirs and ours - theirs >= MORE_SLOW
    if not matters or comparison.slow.e_value < EVIDENCE_OF_HARM or _gains(canary, siblings):
        return None
    bound = 1000 * (comparison.slow_bound or 0.0)
    message = f"{ours:.1%} of the canary's requests take more than {bound:.0f} ms, {theirs:.1%} of its siblings'"
    return Verdict(Reason.TRIAL_LATENCY, message)


def _dearer(comparison: Comparison, canary: Observation, siblings: Observation) -> Verdict | None:
    if comparison.cpu.above(math.log(DEARER)) < EVIDENCE_OF_HARM or _gains(canary, siblings):
        return None
    ours, theirs = (1000 * (each.cpu_seconds_per_request or 0.0) for each in (canary, siblings))
    return Verdict(Reason.TRIAL_CPU, f"a request costs the canary {ours:.2f} ms of CPU, its siblings {theirs:.2f} ms")


def _no_slower(comparison: Comparison, times: float) -> bool:
    return comparison.response.below(math.log(times)) >= EVIDENCE_OF_NO_HARM


def _serves_more(canary: Observation, siblings: Observation) -> bool:
    return canary.requests_per_second >= MORE * siblings.requests_per_second / siblings.pods


def _gain_shown(comparison: Comparison) -> bool:
    return (
        comparison.response.below(math.log(FASTER)) >= EVIDENCE_OF_NO_HARM
        or comparison.cpu.below(math.log(CHEAPER)) >= EVIDENCE_OF_NO_HARM
    )


def _gains(canary: Observation, siblings: Observation) -> bool:
    ours, theirs = canary.response_seconds, siblings.response_seconds
    return ours is not None and theirs is not None and ours < BETTER * theirs


def _numbers(canary: Observation, siblings: Observation) -> str:
    ours, theirs = (f"{1000 * (each.response_seconds or 0.0):.0f} ms" for each in (canary, siblings))
    per_pod = siblings.requests_per_second / siblings.pods
    return (
        f"a request takes the canary {ours} with its wait for a slot, its siblings {theirs}, "
        f"at {canary.requests_per_second:.1f} and {per_pod:.1f} requests/s each"
    )
