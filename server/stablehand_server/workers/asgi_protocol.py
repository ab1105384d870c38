"""gunicorn's ASGI connection: says what its worker measures, and never closes without having said so.

gunicorn looks once more whether its worker still serves after a response is complete, and closes the connection if not,
even where the response's headers had promised to keep it: the client's next request, perhaps on its way already, is
lost. Here only what the headers announced counts. So `worker.alive` stays true for HTTP/1 until the worker's end, and
`_will_close`, which writes the headers, asks whether it retires.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import ASGIProtocol

from stablehand_server.instrument_asgi import SOCKET_KEY
from stablehand_server.workers.base import FIRST_REQUEST_SECONDS

if TYPE_CHECKING:
    from stablehand_server.workers.asgi import ASGIWorker


class Connection(ASGIProtocol):
    """One client connection."""

    worker: Any  # the ASGIWorker, or what HTTP/2 sees of it
    transport: Any

    def connection_made(self, transport: Any) -> None:
        """Begin to serve; a client that stays silent is not waited for longer than any other class does."""
        self.worker.connections.add(self)
        self._client = transport.get_extra_info("socket")
        self._is_local = self._client.family == socket.AF_UNIX
        super().connection_made(transport)
        if self._awaits_http1():
            self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection."""
        super().connection_lost(exc)
        self.worker.connection_ended(self)

    def close_if_idle(self) -> None:
        """Close the connection unless it serves a request, or has one to read."""
        busy = self._finishing_calls or not self._awaits_http1() or self._request_ready.is_set()
        if not busy and not self._data_waits():
            super()._keepalive_timeout()

    def _awaits_http1(self) -> bool:
        # A task that has not run yet has not said so, but it waits for its first request too.
        begun = self._awaiting_request or self.req_count == 0
        return self._request_ready is not None and self.reader is None and self._websocket is None and begun

    def _keepalive_timeout(self) -> None:
        # After a blocked loop the timer and the request are due together, and gunicorn's timer would win.
        if self._request_ready.is_set():
            return
        if self._data_waits():
            self._look_again()
            return
        super()._keepalive_timeout()

    def _look_again(self) -> None:
        self._keepalive_handle = self.worker.loop.call_later(FIRST_REQUEST_SECONDS, self._keepalive_timeout)

    def _data_waits(self) -> bool:
        client = self._client
        try:
            with socket.fromfd(client.fileno(), client.family, client.type) as same:
                return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except (OSError, ValueError):
            return False

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:  # noqa: FBT001 (gunicorn's signature)
        if super()._will_close(request, response_requires_close):
            return True
        return bool(self.worker.is_last_response())

    def _build_http_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_http_scope(request, sockname, peername)
        scope[SOCKET_KEY] = self._client
        return self._corrected(scope, sockname) if self._is_local else scope

    def _build_websocket_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_websocket_scope(request, sockname, peername)
        scope[SOCKET_KEY] = self._client
        return self._corrected(scope, sockname) if self._is_local else scope

    def _corrected(self, scope: dict[str, Any], sockname: Any) -> dict[str, Any]:
        # Of a Unix socket's path gunicorn takes two characters for host and port.
        scope["server"], scope["client"] = (sockname, None), None
        return scope

    async def _handle_http2_connection(self, transport: Any, ssl_object: Any, upgrade: Any = None) -> None:
        self.worker = _AsItIs(self.worker)
        await super()._handle_http2_connection(transport, ssl_object, upgrade)

    async def _handle_connection_uwsgi(self, peername: Any, sockname: Any) -> None:
        self.worker = _AsItIs(self.worker)
        await super()._handle_connection_uwsgi(peername, sockname)


class _AsItIs:
    """The worker, for HTTP/2, which announces a close in its own way, and for uWSGI, which has none."""

    def __init__(self, worker: ASGIWorker) -> None:
        self.__dict__["_worker"] = worker

    def __getattr__(self, name: str) -> Any:
        if name == "alive":
            return not self._worker.retiring
        if name == "max_requests":
            return self._worker.request_limit
        return getattr(self._worker, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._worker, name, value)
