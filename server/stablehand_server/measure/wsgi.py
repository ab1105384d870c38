"""Measure a WSGI app's requests by wrapping it, where gunicorn's code does not call it: Tornado's server, the bridge.

A request is inside the app from the call until its response has been sent and closed: it holds a slot for that time.
All of this runs once per request, within a few microseconds: hence one object per request.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.measure.queueing import seconds_queued
from stablehand_tuner.contracts.metric_names import NOTED_STATUSES, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_server.measure.recorder import UnlockedRecorder

_CODE_OF_DIGIT = {code[0]: place for place, code in enumerate(STATUS_CODES) if code[0].isdigit()}
_ERROR = STATUS_CODES.index("error")
_4XX = STATUS_CODES.index("4xx")
_NOTED = {status: place for place, status in enumerate(NOTED_STATUSES, len(STATUS_CODES))}


class InstrumentedApp:
    """A WSGI callable that counts and times the requests of another.

    `already_handled` recognises the marker that the apps of some worker classes return instead of an iterable when they
    have taken over the connection.
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
        """Replace the server's start_response, to learn the status."""
        self._status = status
        return self._start_response(status, headers, *exc_info)

    # Not a generator: a server that stops halfway, because the client disconnected, is not a failure of the app.

    def __iter__(self) -> Iterator[bytes]:
        body = self.body
        if type(body) is list or type(body) is tuple:
            return iter(body)  # no code of the app runs any more
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
        # the latest when its response is no longer referenced.
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.abandon(monotonic() - self._started, code_of_status(self._status))

    def finish(self) -> None:
        """Record the end, once, however often it is called."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.leave(monotonic() - self._started, code_of_status(self._status))

    def finish_failed(self) -> None:
        """Record that the app raised."""
        self._status = ""  # whatever its status was before: an invalid status counts as an error
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
    """Return the code, for a recorder, of a WSGI status such as "200 OK"; an invalid status counts as an error."""
    code = _CODE_OF_DIGIT.get(str(status)[:1], _ERROR)
    return code if code != _4XX else _NOTED.get(str(status)[:3], _4XX)
