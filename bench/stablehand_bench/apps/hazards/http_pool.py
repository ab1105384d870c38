"""A pool of 4 connections to an upstream in each process; who waits longer than 0.5 s for one fails.

Environment: `STABLEHAND_BENCH_UPSTREAM`, its port.
"""

from __future__ import annotations

import queue

from stablehand_bench.apps.hazards import upstream
from stablehand_bench.apps.hazards.page import page

_SIZE = 4
_TIMEOUT_SECONDS = 0.5
_free: queue.Queue[int] = queue.Queue()
for number in range(_SIZE):
    _free.put(number)


class EmptyPoolError(Exception):
    """No connection became free in time."""


def _ask() -> None:
    try:
        connection = _free.get(timeout=_TIMEOUT_SECONDS)
    except queue.Empty:
        raise EmptyPoolError(f"no connection was free within {_TIMEOUT_SECONDS:g} s") from None
    try:
        upstream.ask("/plain")
    finally:
        _free.put(connection)


app = page(_ask)
