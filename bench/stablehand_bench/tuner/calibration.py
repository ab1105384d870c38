"""How much work a millisecond is on this machine: measured once for a run, so that all contestants do the same."""

from __future__ import annotations

import time

from stablehand_bench.apps import workload

_TURNS = 50_000
_TRIES = 40


def turns_per_millisecond() -> int:
    """Return how often the apps' computing loop turns in a millisecond of an undisturbed core."""
    best = float("inf")
    for _ in range(_TRIES):
        started = time.thread_time()
        workload.compute(_TURNS)
        best = min(best, time.thread_time() - started)
    return round(_TURNS / best / 1000)
