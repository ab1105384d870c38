"""Each thread that ever served keeps a buffer of 12 MB, under a limit of 600 MB for all."""

from __future__ import annotations

import threading
import time

from stablehand_bench.apps.hazards.page import page

_BUFFER_BYTES = 12_000_000
_local = threading.local()


def _work() -> None:
    if not hasattr(_local, "buffer"):
        _local.buffer = b"\1" * _BUFFER_BYTES
    time.sleep(0.05)


app = page(_work)
