"""Each request holds 20 MB for 300 ms, under a limit of 600 MB for all: a few dozen at once are killed."""

from __future__ import annotations

import time

from stablehand_bench.apps.hazards.page import page

_HELD_BYTES = 20_000_000


def _hold() -> None:
    held = b"\1" * _HELD_BYTES
    time.sleep(0.3)
    del held


app = page(_hold)
