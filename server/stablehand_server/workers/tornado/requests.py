"""Requests under Tornado: observed, measured, and, for a WSGI app, served within the loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tornado import version
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    ResponseStartLine,
)
from tornado.log import app_log
from tornado.wsgi import WSGIContainer

from stablehand_server.gunicorn_internals.serving import ConfigurationProblem, ParseException
from stablehand_server.measure.asgi import code_of
from stablehand_server.measure.queueing import seconds_queued
from stablehand_server.workers.tornado.environ import environ_of
from stablehand_tuner.contracts.metric_names import STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tornado.httputil import HTTPConnection, HTTPServerRequest, RequestStartLine

    from stablehand_server.gunicorn_internals.settings import Config
    from stablehand_server.measure.recorder import UnlockedRecorder

_ERROR = STATUS_CODES.index("error")
_EVENT_STREAM = "text/event-stream"
_LAST_CHUNK = b"0\r\n\r\n"
_BODYLESS = frozenset({204, 304})


class ObservedDelegate(HTTPMessageDelegate):
    """Reports when a request's headers have arrived."""

    def __init__(self, inner: HTTPMessageDelegate, begin: Callable[[], None]) -> None:
        self._inner = inner
        self._begin = begin

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """Note the request."""
        self._begin()
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Forward the body."""
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        """Forward the end of the request."""
        self._inner.finish()

    def on_connection_close(self) -> None:
        """Pass the end of the connection on."""
        self._inner.on_connection_close()


class InlineContainer(WSGIContainer):
    """Runs a WSGI app from call to close without interruption: Tornado's own lets other requests run in between.

    The response is sent when it is complete: while the app runs, the loop cannot send.
    """

    def __init__(self, app: Callable[..., Any], config: Config) -> None:
        super().__init__(app)
        self._config = config

    async def handle_request(self, request: HTTPServerRequest) -> None:
        """Answer one request, with an error if the app fails, where Tornado's own would leave the client waiting."""
        try:
            start, headers, body = self._called(request)
        except Exception as fault:  # noqa: BLE001 (the app's own code, or its headers are refused)
            start, headers, body = _failed(request, fault)
        connection = request.connection
        if connection is None:
            return
        connection.write_headers(start, headers, chunk=b"" if request.method == "HEAD" else body)
        connection.finish()

    def _called(self, request: HTTPServerRequest) -> tuple[ResponseStartLine, HTTPHeaders, bytes]:
        said: list[tuple[str, list[tuple[str, str]]]] = []
        parts: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
            del exc_info  # nothing has been sent: the last call counts
            said.append((status, headers))
            return parts.append

        response = self.wsgi_application(self.environ(request), start_response)
        try:
            parts.extend(response)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()
        if not said:
            raise RuntimeError("the app has not called start_response")
        status, pairs = said[-1]
        code, _, reason = status.partition(" ")
        headers = HTTPHeaders()
        for name, value in pairs:
            headers.add(name, value)
        body = b"".join(parts)
        if int(code) in _BODYLESS:
            body = b""
        elif "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        if "Server" not in headers:
            headers["Server"] = f"TornadoServer/{version}"
        return ResponseStartLine("HTTP/1.1", int(code), reason), headers, body

    def environ(self, request: HTTPServerRequest) -> dict[str, Any]:
        """Return the environ as gunicorn's other classes build it."""
        return environ_of(request, self._config)


def _failed(request: HTTPServerRequest, fault: Exception) -> tuple[ResponseStartLine, HTTPHeaders, bytes]:
    """Return the answer to a failed request: an error of the client, or of the app or its configuration."""
    if isinstance(fault, ParseException) and not isinstance(fault, ConfigurationProblem):
        app_log.warning("Invalid request from ip=%s: %s", request.remote_ip, fault)
        code, reason = 400, "Bad Request"
    else:
        app_log.error("Error handling request %s", request.uri, exc_info=fault)
        code, reason = 500, "Internal Server Error"
    body = reason.encode()
    headers = HTTPHeaders({"Content-Length": str(len(body)), "Content-Type": "text/plain"})
    return ResponseStartLine("HTTP/1.1", code, reason), headers, body


class MeasuredApplication(HTTPServerConnectionDelegate):
    """A Tornado application, each of whose requests is counted and timed."""

    def __init__(self, application: HTTPServerConnectionDelegate, recorder: UnlockedRecorder) -> None:
        self._application = application
        self._recorder = recorder
        self._event_streams: set[_MeasuredDelegate] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Measure the next request on a connection."""
        inner = self._application.start_request(server_conn, request_conn)
        return _MeasuredDelegate(inner, request_conn, self._recorder, self._event_streams)

    def end_event_streams(self) -> None:
        """End each with a last chunk, after which its client reconnects; its handler sees the client as disconnected.

        For another response, such as a download, a last chunk would mean that it is complete.
        """
        for each in tuple(self._event_streams):
            each.end_event_stream()

    def on_close(self, server_conn: object) -> None:
        """Pass the end of the connection on."""
        self._application.on_close(server_conn)


class _MeasuredDelegate(HTTPMessageDelegate):
    """A request is inside the app from its last byte to the end of the response, or of the connection."""

    def __init__(
        self, inner: HTTPMessageDelegate, connection: Any, recorder: UnlockedRecorder, event_streams: set[Any]
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._recorder = recorder
        self._event_streams = event_streams
        self._started: float | None = None
        self._header: str | None = None
        self._code = _ERROR

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._header = headers.get("X-Request-Start")
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._begin()
        try:
            self._inner.finish()
        except BaseException:
            self._end()
            raise

    def on_connection_close(self) -> None:
        self._end()
        self._inner.on_connection_close()

    def _begin(self) -> None:
        environ: dict[str, Any] = {"gunicorn.socket": self._connection.stream.socket}
        if self._header is not None:
            environ["HTTP_X_REQUEST_START"] = self._header
        self._recorder.enter(seconds_queued(environ))
        self._started = time.monotonic()
        write_headers, finish = self._connection.write_headers, self._connection.finish

        def noting_write_headers(start_line: ResponseStartLine, headers: HTTPHeaders, *args: Any, **kwargs: Any) -> Any:
            self._code = code_of(start_line.code)
            written = write_headers(start_line, headers, *args, **kwargs)
            is_event_stream = headers.get("Content-Type", "").startswith(_EVENT_STREAM)
            if is_event_stream and self._connection._chunking_output:  # noqa: SLF001 (Tornado's, without a public name)
                self._event_streams.add(self)
            return written

        def noting_finish() -> None:
            finish()
            self._end()

        self._connection.write_headers = noting_write_headers
        self._connection.finish = noting_finish

    def end_event_stream(self) -> None:
        stream = self._connection.stream
        if stream is None or stream.closed():
            return
        # Not by the connection's finish(), after which the handler would not be notified of the end.
        written = stream.write(_LAST_CHUNK)
        if stream.writing():
            written.add_done_callback(lambda _: stream.close())
        else:
            stream.close()

    def _end(self) -> None:
        self._event_streams.discard(self)
        started, self._started = self._started, None
        if started is not None:
            self._recorder.leave(time.monotonic() - started, self._code)
