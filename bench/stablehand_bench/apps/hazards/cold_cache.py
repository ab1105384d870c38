"""Each process has a cache of 100 entries that cost 10 ms of computing each to make: a new process begins with none.

A request that finds its entry computes 1 ms and waits 10 ms.
"""

from __future__ import annotations

import os
import random
import time

from stablehand_bench.apps import workload
from stablehand_bench.apps.hazards.page import page

_LOOPS = int(os.environ.get("STABLEHAND_BENCH_LOOPS", "10000"))
_ENTRIES = 100
_cache: dict[int, int] = {}


def _look_up() -> None:
    entry = random.randrange(_ENTRIES)  # noqa: S311 (no secret)
    if entry not in _cache:
        _cache[entry] = workload.compute(10 * _LOOPS)
    workload.compute(_LOOPS)
    time.sleep(0.01)


app = page(_look_up)
