"""Measure every request by wrapping the app callable: the one seam that all worker classes share.

A request is inside the app from the call until its response has been sent and closed: for so long it holds a slot.
"""

from __future__ import annotations

import socket
import struct
import time
from _thread import (
    allocate_lock,
)  # bound before gevent patches it: the lock is held for microseconds, never over a wait
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from stablehand_server.slots import Cell
from stablehand_tuner.metric_names import DURATION_BUCKETS, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CODE_OF_DIGIT = {code[0]: place for place, code in enumerate(STATUS_CODES) if code[0].isdigit()}
_ERROR = STATUS_CODES.index("error")

# Plain integers: looking up a member of an enum costs as much as the write itself.
_BUSY = int(Cell.BUSY)
_REQUESTS = int(Cell.REQUESTS)
_DURATION_BUCKETS = int(Cell.DURATION_BUCKETS)
_DURATION_SECONDS = int(Cell.DURATION_SECONDS)
_QUEUE_BUCKETS = int(Cell.QUEUE_BUCKETS)
_QUEUE_SECONDS = int(Cell.QUEUE_SECONDS)

# struct tcp_info (include/uapi/linux/tcp.h): tcpi_last_data_recv, milliseconds since the last data arrived.
_TCP_INFO_BYTES = 104
_LAST_DATA_RECEIVED = struct.Struct("=52xI")
_LONGEST_QUEUE_SECONDS = 3600.0  # an older X-Request-Start is a wrong clock or a joke


class RequestRecorder:
    """Writes a worker's request counters; many threads of the worker may use it at once."""

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells
        self._lock = allocate_lock()  # `+=` on a memoryview is a read and a write: threads would lose updates

    def enter(self, queued: float | None) -> None:
        """Record that a request goes inside the app, after having queued for so many seconds (None: unknown)."""
        cells = self._cells
        with self._lock:
            cells[_BUSY] += 1.0
            if queued is not None:
                cells[_QUEUE_BUCKETS + bisect_left(DURATION_BUCKETS, queued)] += 1.0
                cells[_QUEUE_SECONDS] += queued

    def leave(self, seconds: float, code: int) -> None:
        """Record that a request left the app after so many seconds; the code is a place in STATUS_CODES."""
        cells = self._cells
        with self._lock:
            cells[_BUSY] -= 1.0
            cells[_REQUESTS + code] += 1.0
            cells[_DURATION_BUCKETS + bisect_left(DURATION_BUCKETS, seconds)] += 1.0
            cells[_DURATION_SECONDS] += seconds


class InstrumentedApp:
    """A WSGI callable that counts and times the requests of another.

    `already_handled` tells the marker that some worker classes' apps return instead of an iterable when they have
    taken over the connection themselves.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        recorder: RequestRecorder,
        already_handled: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._already_handled = already_handled

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call the app; the iterable that comes back ends the measurement when it is closed."""
        request = _Request(self._recorder, start_response)
        self._recorder.enter(seconds_queued(environ))
        try:
            iterable = self._app(environ, request.start_response)
        except BaseException:
            request.finish(failed=True)
            raise
        if self._already_handled(iterable):
            request.finish()
            return iterable
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(file_wrapper, type) and isinstance(iterable, file_wrapper):
            # The server recognises the wrapper by its class and sends the file itself: only its end can be hooked.
            setattr(iterable, "close", _finishing(request, getattr(iterable, "close", None)))  # noqa: B010 (any class)
            return iterable
        return _MeasuredIterable(iterable, request)


class _Request:
    """One request inside the app."""

    __slots__ = ("_recorder", "_start_response", "_started", "_status")

    def __init__(self, recorder: RequestRecorder, start_response: Callable[..., Any]) -> None:
        self._recorder: RequestRecorder | None = recorder
        self._start_response = start_response
        self._status = ""
        self._started = time.monotonic()

    def start_response(self, status: str, headers: Any, *exc_info: Any) -> Any:
        """Stand in for the server's start_response, to learn the status."""
        self._status = status
        return self._start_response(status, headers, *exc_info)

    def finish(self, *, failed: bool = False) -> None:
        """Record the end, once, however often it is called."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            code = _ERROR if failed else _CODE_OF_DIGIT.get(str(self._status)[:1], _ERROR)
            recorder.leave(time.monotonic() - self._started, code)


class _MeasuredIterable:
    """The app's iterable, whose close() ends the measurement."""

    __slots__ = ("_failed", "_iterable", "_request")

    def __init__(self, iterable: Iterable[bytes], request: _Request) -> None:
        self._iterable = iterable
        self._request = request
        self._failed = False

    def __iter__(self) -> Iterator[bytes]:
        # No generator: a server that stops half-way, because the client went away, is no failure of the app.
        try:
            return _FailureNotingIterator(iter(self._iterable), self)
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        try:
            if close is not None:
                close()
        except BaseException:
            self._failed = True
            raise
        finally:
            self._request.finish(failed=self._failed)

    def fail(self) -> None:
        """Note that the app raised while it was iterated over."""
        self._failed = True


class _FailureNotingIterator:
    __slots__ = ("_iterator", "_response")

    def __init__(self, iterator: Iterator[bytes], response: _MeasuredIterable) -> None:
        self._iterator = iterator
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException:
            self._response.fail()
            raise


def _finishing(request: _Request, close: Callable[[], None] | None) -> Callable[[], None]:
    def close_and_finish() -> None:
        try:
            if close is not None:
                close()
        finally:
            request.finish()

    return close_and_finish


def seconds_queued(environ: dict[str, Any]) -> float | None:
    """Return how long a request waited before it came inside the app, or None where nothing tells.

    A proxy's X-Request-Start (seconds, milliseconds or microseconds since 1970, with or without `t=`) counts from the
    proxy on. Without one the kernel knows how long ago the request's last bytes arrived, which covers the listen
    backlog, the pool's queue and a busy hub alike; Linux counts that in ticks of 1 to 10 ms.
    """
    header = environ.get("HTTP_X_REQUEST_START")
    if header is not None:
        return _seconds_since_request_start(header, time.time())
    client = environ.get("gunicorn.socket")
    if client is None:
        return None
    try:
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        return float(_LAST_DATA_RECEIVED.unpack_from(info)[0]) / 1000.0
    except (OSError, AttributeError, struct.error):
        return None  # a Unix socket, or a system without TCP_INFO


def _seconds_since_request_start(header: str, now: float) -> float | None:
    try:
        stamp = float(header.strip().removeprefix("t="))
    except ValueError:
        return None
    for unit in (1.0, 1e3, 1e6):
        waited = now - stamp / unit
        if 0.0 <= waited <= _LONGEST_QUEUE_SECONDS:
            return waited
    return None
