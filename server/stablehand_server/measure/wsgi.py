"""Measure a WSGI app's requests by wrapping its callable, where a server of others' calls it: Tornado's, the bridge.

A request is inside the app from the call until its response has been sent and closed: for so long it holds a slot.
All of this runs once a request, within a few microseconds: hence one object a request, and plain integers and bound
functions where other code would look up a name.
"""

from __future__ import annotations

import collections
import socket
import struct
import time
from _thread import (
    allocate_lock,
)  # bound before gevent patches it: the lock is held for microseconds, never over a wait
from bisect import bisect_left
from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.shared_memory import Cell
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CODE_OF_DIGIT = {code[0]: place for place, code in enumerate(STATUS_CODES) if code[0].isdigit()}
_ERROR = STATUS_CODES.index("error")
_LOWEST_BUCKET = DURATION_BUCKETS[0]

_BUSY = int(Cell.BUSY)
_REQUESTS = int(Cell.REQUESTS)
_DURATION_BUCKETS = int(Cell.DURATION_BUCKETS)
_DURATION_SECONDS = int(Cell.DURATION_SECONDS)
_QUEUE_BUCKETS = int(Cell.QUEUE_BUCKETS)
_QUEUE_SECONDS = int(Cell.QUEUE_SECONDS)
_OLDEST_SINCE = int(Cell.OLDEST_REQUEST_SINCE)
_OLD = int(Cell.OLD_REQUESTS)
_CLOCK_READINGS_SECONDS = 5e-6  # between a request's beginning and the reading of the clock that times it

# struct tcp_info (include/uapi/linux/tcp.h): tcpi_last_data_recv, milliseconds since the last data arrived.
_TCP_INFO = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 0), 56)  # up to and with that field
_last_data_received = struct.Struct("=52xI").unpack
_LONGEST_QUEUE_SECONDS = 3600.0  # an older X-Request-Start is a wrong clock or a joke


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

    def leave(self, seconds: float, code: int) -> None:
        """Record that a request left the app after so many seconds; the code is a place in STATUS_CODES."""
        cells = self._cells
        bucket = 0 if seconds <= _LOWEST_BUCKET else bisect_left(DURATION_BUCKETS, seconds)
        cells[_BUSY] -= 1.0
        cells[_REQUESTS + code] += 1.0
        cells[_DURATION_BUCKETS + bucket] += 1.0
        cells[_DURATION_SECONDS] += seconds
        if cells[_OLD] and monotonic() - seconds <= cells[_OLDEST_SINCE] + _CLOCK_READINGS_SECONDS:
            cells[_OLD] -= 1.0

    def abandon(self, seconds: float, code: int) -> None:
        """Record as `leave` does, from a finalizer: between two steps of any other code of the thread."""
        self.leave(seconds, code)  # whose steps nothing comes in between of


def note_oldest_request(cells: memoryview[float], now: float) -> None:
    """Publish since when the oldest request is inside the app: a worker calls this a few times a second.

    No request is remembered by itself, which would cost each of them. The requests that are inside at one moment are
    counted down as they leave; as long as some are left, the oldest is older than that moment. When all have left, the
    next look begins with those that are inside then. So the age is right but for a look's distance.
    """
    busy = cells[_BUSY]
    if not busy or not cells[_OLD]:
        cells[_OLDEST_SINCE], cells[_OLD] = now, busy


class RequestRecorder(UnlockedRecorder):
    """Writes a worker's request counters; many threads of the worker may use it at once."""

    __slots__ = ("_abandoned", "_acquire", "_release")

    def __init__(self, cells: memoryview[float]) -> None:
        super().__init__(cells)
        self._abandoned: collections.deque[tuple[float, int]] = collections.deque()
        lock = allocate_lock()
        self._acquire, self._release = lock.acquire, lock.release  # faster than a with statement

    def enter(self, queued: float | None) -> None:
        """Record that a request goes inside the app, after having queued for so many seconds (None: unknown)."""
        self._acquire()
        try:
            UnlockedRecorder.enter(self, queued)
        finally:
            self._release()

    def leave(self, seconds: float, code: int) -> None:
        """Record that a request left the app after so many seconds; the code is a place in STATUS_CODES."""
        self._acquire()
        try:
            UnlockedRecorder.leave(self, seconds, code)
        finally:
            self._release()
        if self._abandoned:
            self._leave_abandoned()

    def abandon(self, seconds: float, code: int) -> None:
        """Record as `leave` does, from a finalizer: this very thread may hold the lock, so it is never waited for."""
        self._abandoned.append((seconds, code))
        self._leave_abandoned()

    def _leave_abandoned(self) -> None:
        while self._abandoned and self._acquire(blocking=False):  # else whoever has it comes by here
            try:
                if self._abandoned:  # still: another thread may have been quicker
                    UnlockedRecorder.leave(self, *self._abandoned.popleft())
            finally:
                self._release()


class InstrumentedApp:
    """A WSGI callable that counts and times the requests of another.

    `already_handled` tells the marker that some worker classes' apps return instead of an iterable when they have
    taken over the connection themselves.
    """

    __slots__ = ("_already_handled", "_app", "_enter", "_recorder")

    def __init__(
        self,
        app: Callable[..., Any],
        recorder: UnlockedRecorder,
        already_handled: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._enter = recorder.enter
        self._already_handled = already_handled

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call the app; the iterable that comes back ends the measurement when it is closed."""
        self._enter(seconds_queued(environ))
        response = _MeasuredResponse(self._recorder, start_response)
        try:
            body = self._app(environ, response.start_response)
        except BaseException:
            response.finish_failed()
            raise
        kind = type(body)
        if kind is not list and kind is not tuple:
            if self._already_handled(body):
                response.finish()
                return body
            file_wrapper = environ.get("wsgi.file_wrapper")
            if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
                # The server recognises the wrapper by its class and sends the file itself: only its end can be hooked.
                setattr(body, "close", _finishing(response, getattr(body, "close", None)))  # noqa: B010 (any class)
                return body
        response.body = body
        return response


class _MeasuredResponse:
    """One request inside the app, and then the app's iterable, whose close() ends the measurement."""

    __slots__ = ("_iterator", "_recorder", "_start_response", "_started", "_status", "body")

    body: Any  # set as soon as the app has returned it
    _iterator: Iterator[bytes]

    def __init__(self, recorder: UnlockedRecorder, start_response: Callable[..., Any]) -> None:
        self._recorder: UnlockedRecorder | None = recorder
        self._start_response = start_response
        self._status = ""
        self._started = monotonic()

    def start_response(self, status: str, headers: Any, *exc_info: Any) -> Any:
        """Stand in for the server's start_response, to learn the status."""
        self._status = status
        return self._start_response(status, headers, *exc_info)

    # No generator: a server that stops half-way, because the client went away, is no failure of the app.

    def __iter__(self) -> Iterator[bytes]:
        body = self.body
        if type(body) is list or type(body) is tuple:
            return iter(body)  # nothing of the app runs any more
        try:
            self._iterator = iter(body)
        except BaseException:
            self._status = ""
            raise
        return self

    def __next__(self) -> bytes:
        try:
            chunk: bytes = next(self._iterator)
        except StopIteration:
            raise
        except BaseException:
            self._status = ""
            raise
        return chunk

    def close(self) -> None:
        body = self.body
        if type(body) is list or type(body) is tuple:
            self.finish()
            return
        close = getattr(body, "close", None)
        try:
            if close is not None:
                close()
        except BaseException:
            self._status = ""
            raise
        finally:
            self.finish()

    def __del__(self) -> None:
        # Servers close what an app returns; some middleware, and some servers, forget to. Then the request has ended at
        # the latest when nobody has its response any more.
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.abandon(monotonic() - self._started, _CODE_OF_DIGIT.get(str(self._status)[:1], _ERROR))

    def finish(self) -> None:
        """Record the end, once, however often it is called."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.leave(monotonic() - self._started, code_of_status(self._status))

    def finish_failed(self) -> None:
        """Record that the app raised."""
        self._status = ""  # whatever it said before: what is no status counts as an error
        self.finish()


def _finishing(response: _MeasuredResponse, close: Callable[[], None] | None) -> Callable[[], None]:
    def close_and_finish() -> None:
        try:
            if close is not None:
                close()
        finally:
            response.finish()

    return close_and_finish


def code_of_status(status: Any) -> int:
    """Return the place in STATUS_CODES of a WSGI status such as "200 OK"; what is no status is an error."""
    return _CODE_OF_DIGIT.get(str(status)[:1], _ERROR)


def seconds_queued(environ: dict[str, Any]) -> float | None:
    """Return how long a request waited before it came inside the app, or None where nothing tells.

    A proxy's X-Request-Start counts from the proxy on; without one it is the kernel that knows.
    """
    header = environ.get("HTTP_X_REQUEST_START")
    if header is not None:
        return seconds_since_request_start(header)
    return seconds_since_arrival(environ.get("gunicorn.socket"))


def seconds_since_arrival(client: Any) -> float | None:
    """Return how long ago a request's last bytes arrived at its socket, or None where the kernel does not tell.

    That covers the listen backlog, the pool's queue and a busy hub alike; Linux counts it in ticks of 1 to 10 ms.
    """
    try:
        milliseconds: int = _last_data_received(client.getsockopt(*_TCP_INFO))[0]
    except (OSError, AttributeError, struct.error):
        return None  # no socket, a Unix one, or a system without TCP_INFO
    return milliseconds / 1000.0


def seconds_since_request_start(header: str) -> float | None:
    """Return how long ago X-Request-Start was: seconds, milliseconds or microseconds since 1970, or None.

    With or without `t=`; what cannot be true tells nothing.
    """
    now = time.time()
    try:
        stamp = float(header.strip().removeprefix("t="))
    except ValueError:
        return None
    for unit in (1.0, 1e3, 1e6):
        waited = now - stamp / unit
        if 0.0 <= waited <= _LONGEST_QUEUE_SECONDS:
            return waited
    return None
