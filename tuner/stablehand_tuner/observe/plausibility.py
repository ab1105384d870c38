"""Impossible observations: a pod may run any code, so a server that reports impossible values counts as missing.

The bounds are wide: a reading that is slightly wrong is better than none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observe.observation import Observation

TIMES = 4.0  # what may be off by bursts of a quota, and by scrapes that take long
CORES_FREE = 4.0  # of a small limit: the kernel lets a burst through before it throttles
SLACK_SECONDS = 5.0


def sift(observations: Mapping[str, Observation | None]) -> tuple[dict[str, Observation | None], str]:
    """Return the observations with None for each impossible one, and what is impossible about the first of them."""
    sifted, why = dict(observations), ""
    for pod, seen in observations.items():
        reason = "" if seen is None else impossible(seen)
        if reason:
            sifted[pod], why = None, why or f"{pod} reports that {reason}"
    return sifted, why


def impossible(seen: Observation) -> str:
    """Return what is impossible about an observation, or nothing."""
    if seen.errors > seen.requests:
        return f"{seen.errors:.0f} of {seen.requests:.0f} requests failed"
    if seen.cpu_seconds_total > (TIMES * seen.cores + CORES_FREE * seen.pods) * seen.seconds + SLACK_SECONDS:
        return f"its workers used {seen.cores_used:.1f} of {seen.cores:g} cores"
    return ""
