"""Measure every request of an ASGI app by wrapping it, as `InstrumentedApp` does for WSGI.

A request is inside the app from the call until its response is complete: what the app does after that, in background
tasks for example, occupies no slot.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.linux import tcp_info
from stablehand_server.measure.queueing import seconds_since_request_start
from stablehand_tuner.contracts.metric_names import NOTED_STATUSES, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from stablehand_server.measure.recorder import UnlockedRecorder

# Where this server's asgi worker leaves the client's socket in the scope, for the kernel's word on the queue time.
SOCKET_KEY = "gunicorn.socket"

_SWITCHING_PROTOCOLS = 101
_FORBIDDEN = 403  # what a server answers when the app refuses a websocket
CLIENT_CLOSED_REQUEST = (
    499  # nginx's status for a client that disconnected before there was one: not a failure of the app
)
_ERROR = STATUS_CODES.index("error")
_CLIENT_ERROR = 4
_4XX = STATUS_CODES.index("4xx")
_NOTED = {int(status): place for place, status in enumerate(NOTED_STATUSES, len(STATUS_CODES))}
_MEASURED = frozenset({"http", "websocket"})
_SMALL_BYTES = 64 * 1024  # of a body's last part: what any transport takes at once


class InstrumentedASGIApp:
    """An ASGI callable that counts and times the requests of another.

    A websocket counts as one request, which ends when the app has accepted or refused it: its client decides how long
    it stays open. The lifespan is not a request.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], recorder: UnlockedRecorder) -> None:
        self._app = app
        self._recorder = recorder
        self._enter = recorder.enter

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Call the app, and observe what it sends."""
        if scope["type"] not in _MEASURED:
            await self._app(scope, receive, send)
            return
        request = _Request(self._recorder, send, scope.get("client"))
        self._enter(seconds_queued(scope["headers"], scope.pop(SOCKET_KEY, None)))
        try:
            await self._app(scope, receive, request.send)
        except asyncio.CancelledError:
            # The server cancels the app when the client has disconnected.
            request.finish(request.status or CLIENT_CLOSED_REQUEST)
            raise
        except BaseException:
            request.finish(0)
            raise
        request.finish(request.status)  # an app that sends nothing has failed


class _Request:
    """One request inside the app."""

    __slots__ = ("_client", "_recorder", "_send", "_started", "_trailers", "status")

    def __init__(self, recorder: UnlockedRecorder, send: Callable[..., Awaitable[None]], client: Any) -> None:
        self._recorder: UnlockedRecorder | None = recorder
        self._send = send
        self._client = None if client is None else tuple(client)
        self._trailers = False
        self.status = 0
        self._started = monotonic()

    def send(self, message: dict[str, Any]) -> Awaitable[None]:
        """Replace the server's send, to learn the status and the end.

        Not a coroutine around the server's: that would cost as much as the rest of the measurement.
        """
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False) and not self._trailers:
                if len(message.get("body") or b"") > _SMALL_BYTES:
                    return self._send_last(message)
                self.finish(self.status)
        elif kind == "http.response.start":
            self.status = message["status"]
            self._trailers = message.get("trailers", False)
        else:
            self._note_unusual(kind, message)
        return self._send(message)

    def _note_unusual(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "websocket.http.response.start":
            self.status = message["status"]
        elif kind == "websocket.http.response.body":
            if not message.get("more_body", False):
                self.finish(self.status)
        elif kind == "http.response.trailers":
            if not message.get("more_trailers", False):
                self.finish(self.status)
        elif kind == "websocket.accept":
            self.finish(_SWITCHING_PROTOCOLS)
        elif kind == "websocket.close":
            self.finish(_FORBIDDEN)

    async def _send_last(self, message: dict[str, Any]) -> None:
        await self._send(message)
        self.finish(self.status)

    def finish(self, status: int) -> None:
        """Record the end, once, however often it is called; an invalid status counts as an error."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.leave(monotonic() - self._started, code_of(status), client=self._client)


def code_of(status: int) -> int:
    """Return the code, for a recorder, of a status; an invalid status counts as an error."""
    digit = status // 100
    if digit == _CLIENT_ERROR:
        return _NOTED.get(status, _4XX)
    return digit - 1 if 1 <= digit <= _ERROR else _ERROR


def seconds_queued(headers: Iterable[tuple[bytes, bytes]], client: Any) -> float | None:
    """Return how long a request waited before it entered the app, or None if it is unknown.

    Args:
        headers: of the request, their names in lower case.
        client: the socket it came by, or None.
    """
    for name, value in headers:
        if name == b"x-request-start":
            return seconds_since_request_start(value.decode("latin-1"))
    return tcp_info.seconds_since_data(client)
