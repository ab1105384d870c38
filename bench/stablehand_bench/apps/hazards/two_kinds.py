"""90 % of the requests take 0.2 ms, 10 % wait 150 ms."""

from __future__ import annotations

import os
import random
import time

from stablehand_bench.apps import workload
from stablehand_bench.apps.hazards.page import page

_TURNS = int(os.environ.get("STABLEHAND_BENCH_LOOPS", "10000")) // 5
_WAITING_SHARE = 0.1


def _work() -> None:
    if random.random() < _WAITING_SHARE:  # noqa: S311 (no secret)
        time.sleep(0.15)
    else:
        workload.compute(_TURNS)


app = page(_work)
