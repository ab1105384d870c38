"""A client library with one connection for each thread of the system, as C libraries have it: greenlets share it.

One request in five uses it. Where the connection is in use already, the library refuses, as database drivers do; for
threads it never is, for greenlets of one thread nearly always.
"""

from __future__ import annotations

import random
import threading
import time

from stablehand_bench.apps.hazards.page import page

_SHARE = 0.2
_busy: dict[int, bool] = {}


def _ask_library() -> None:
    thread = threading.get_native_id()
    if _busy.get(thread):
        raise RuntimeError("another operation is in progress on this connection")
    _busy[thread] = True
    try:
        time.sleep(0.1)
    finally:
        _busy[thread] = False


def _work() -> None:
    if random.random() < _SHARE:  # noqa: S311 (no secret)
        _ask_library()
    else:
        time.sleep(0.1)


app = page(_work)
