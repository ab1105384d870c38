"""Count and time requests in a worker's cells of the shared mapping: once per request, within a few microseconds.

Hence plain integers and bound functions where other code would look up a name.
"""

from __future__ import annotations

import collections
from _thread import (
    allocate_lock,
)  # bound before gevent patches it: the lock is held for microseconds, never over a wait
from bisect import bisect_left
from time import monotonic
from typing import TYPE_CHECKING

from stablehand_server.shared_memory import CLIENT_BITS, Cell
from stablehand_tuner.contracts.metric_names import BODY_BUCKETS, DURATION_BUCKETS, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Hashable

_LOWEST_BUCKET = DURATION_BUCKETS[0]

_BUSY = int(Cell.BUSY)
_REQUESTS = int(Cell.REQUESTS)
_BODY_BUCKETS = int(Cell.BODY_BUCKETS)
_BODY_BYTES = int(Cell.BODY_BYTES)
_DURATION_BUCKETS = int(Cell.DURATION_BUCKETS)
_DURATION_SECONDS = int(Cell.DURATION_SECONDS)
_QUEUE_BUCKETS = int(Cell.QUEUE_BUCKETS)
_QUEUE_SECONDS = int(Cell.QUEUE_SECONDS)
_UNUSUAL = int(Cell.UNUSUAL)
_CLIENTS = int(Cell.CLIENTS)
_OLDEST_SINCE = int(Cell.OLDEST_REQUEST_SINCE)
_OLD = int(Cell.OLD_REQUESTS)
_2XX = STATUS_CODES.index("2xx")
_4XX = STATUS_CODES.index("4xx")
_FIRST_NOTED = len(STATUS_CODES)
_CLOCK_READINGS_SECONDS = 5e-6  # between a request's beginning and the reading of the clock that times it


class UnlockedRecorder:
    """Writes a worker's request counters, for a class whose requests all run in one thread (greenlets and tasks too).

    `+=` on a memoryview is a read and a write, between which neither a greenlet nor a task is switched.
    """

    __slots__ = ("_cells",)

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells

    def enter(self, queued: float | None) -> None:
        """Record that a request goes inside the app, after having queued for so many seconds (None: unknown)."""
        cells = self._cells
        cells[_BUSY] += 1.0
        if queued is not None:
            bucket = 0 if queued <= _LOWEST_BUCKET else bisect_left(DURATION_BUCKETS, queued)
            cells[_QUEUE_BUCKETS + bucket] += 1.0
            cells[_QUEUE_SECONDS] += queued

    def leave(self, seconds: float, code: int, size: int | None = None, client: Hashable = None) -> None:
        """Record that a request left the app.

        Args:
            seconds: for how long it was inside.
            code: a place in STATUS_CODES, or behind them in NOTED_STATUSES.
            size: of the response's body in bytes, if it is known.
            client: whatever tells one client from another, if it is known.
        """
        cells = self._cells
        kind = _REQUESTS + code
        if code >= _FIRST_NOTED:
            cells[kind] += 1.0  # the cells of NOTED follow those of REQUESTS
            code = _4XX
        elif size is not None and code == _2XX:
            kind = _BODY_BUCKETS + bisect_left(BODY_BUCKETS, size)
            cells[kind] += 1.0
            cells[_BODY_BYTES] += size
        if cells[_UNUSUAL] and client is not None and int(cells[_UNUSUAL]) >> (kind - _REQUESTS) & 1:
            cells[_CLIENTS] = float(int(cells[_CLIENTS]) | 1 << hash(client) % CLIENT_BITS)
        bucket = 0 if seconds <= _LOWEST_BUCKET else bisect_left(DURATION_BUCKETS, seconds)
        cells[_BUSY] -= 1.0
        cells[_REQUESTS + code] += 1.0
        cells[_DURATION_BUCKETS + bucket] += 1.0
        cells[_DURATION_SECONDS] += seconds
        if cells[_OLD] and monotonic() - seconds <= cells[_OLDEST_SINCE] + _CLOCK_READINGS_SECONDS:
            cells[_OLD] -= 1.0

    def move(self, cells: memoryview[float]) -> None:
        """Record in other cells from now on, in a process that has just been forked."""
        self._cells = cells

    def abandon(self, seconds: float, code: int) -> None:
        """Record as `leave` does, from a finalizer, which may run between two steps of any other code of the thread."""
        self.leave(seconds, code)  # whose steps nothing comes in between of


class RequestRecorder(UnlockedRecorder):
    """Writes a worker's request counters; many threads of the worker may use it at once."""

    __slots__ = ("_abandoned", "_acquire", "_release")

    def __init__(self, cells: memoryview[float]) -> None:
        super().__init__(cells)
        self._abandoned: collections.deque[tuple[float, int]] = collections.deque()
        self._make_lock()

    def _make_lock(self) -> None:
        lock = allocate_lock()
        self._acquire, self._release = lock.acquire, lock.release  # faster than a with statement

    def move(self, cells: memoryview[float]) -> None:
        """Record in other cells from now on; the thread that had the lock may not have been forked along."""
        super().move(cells)
        self._make_lock()

    def enter(self, queued: float | None) -> None:
        """Record that a request goes inside the app, after having queued for so many seconds (None: unknown)."""
        self._acquire()
        try:
            UnlockedRecorder.enter(self, queued)
        finally:
            self._release()

    def leave(self, seconds: float, code: int, size: int | None = None, client: Hashable = None) -> None:
        """Record that a request left the app."""
        self._acquire()
        try:
            UnlockedRecorder.leave(self, seconds, code, size, client)
        finally:
            self._release()
        if self._abandoned:
            self._leave_abandoned()

    def abandon(self, seconds: float, code: int) -> None:
        """Record as `leave` does, from a finalizer: this same thread may hold the lock, so never wait for it."""
        self._abandoned.append((seconds, code))
        self._leave_abandoned()

    def _leave_abandoned(self) -> None:
        while self._abandoned and self._acquire(blocking=False):  # else the thread that has it runs this too
            try:
                if self._abandoned:  # still: another thread may have been quicker
                    UnlockedRecorder.leave(self, *self._abandoned.popleft())
            finally:
                self._release()


def note_oldest_request(cells: memoryview[float], now: float) -> None:
    """Publish since when the oldest request has been inside the app: a worker calls this a few times a second.

    Requests are not remembered individually, which would cost each of them. The requests that are inside at one moment
    are counted down as they leave; as long as some are left, the oldest is older than that moment. When all have left,
    the next call starts with those that are inside then. So the age is exact to within the interval between two calls.
    """
    busy = cells[_BUSY]
    if not busy or not cells[_OLD]:
        cells[_OLDEST_SINCE], cells[_OLD] = now, busy
