"""One lock around 20 ms in each process: threads only wait for each other, processes do not."""

from __future__ import annotations

import threading
import time

from stablehand_bench.apps.hazards.page import page

_lock = threading.Lock()


def _alone() -> None:
    with _lock:
        time.sleep(0.02)


app = page(_alone)
