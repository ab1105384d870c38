"""2 % of the requests wait 3 s, the rest 10 ms: the mean, 70 ms, is true of none of them."""

from __future__ import annotations

import random
import time

from stablehand_bench.apps.hazards.page import page

_SLOW_SHARE = 0.02


def _wait() -> None:
    time.sleep(3.0 if random.random() < _SLOW_SHARE else 0.01)  # noqa: S311 (no secret)


app = page(_wait)
