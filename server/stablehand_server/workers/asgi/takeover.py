"""What takes over a connection from HTTP/1: a websocket, HTTP/2 and uWSGI's protocol, nearly as in gunicorn."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.asgi import ASGIProtocol, valid_websocket_key
from stablehand_server.measure.asgi import SOCKET_KEY
from stablehand_server.workers.asgi.websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stablehand_server.workers.asgi.worker import ASGIWorker

_WEBSOCKET_VERSION = "13"


class Takeover(ASGIProtocol):
    """The part of a connection that handles takeovers."""

    worker: Any  # the ASGIWorker, or HTTP/2's view of it
    client: Any  # the socket
    app: Any
    _body_receiver: Any
    _callback_parser: Any
    _flow_control: Any
    _task: asyncio.Task[None] | None
    _websocket: WebSocket | None

    def _take_over(self, serving: Coroutine[Any, Any, None]) -> None:
        self.app = self.worker.measured_app
        self._task = self.worker.context.run(self.worker.loop.create_task, self._owned(serving))

    def _leave_http1(self) -> bytes:
        """Stop parsing; return what the client has sent beyond the request."""
        raise NotImplementedError

    async def _owned(self, serving: Coroutine[Any, Any, None]) -> None:
        is_cancelled = False
        try:
            await serving
        except asyncio.CancelledError:
            is_cancelled = True
        except Exception:  # whatever it is, it ends this connection alone
            self.log.exception("Error handling connection")
        finally:
            await self._finish_app_calls(is_cancelled)
            self._close_transport()

    async def _handle_websocket(self, request: Any, sockname: Any, peername: Any) -> None:
        while (await self._body_receiver.receive()).get("more_body"):
            pass  # of a body, which no client of websockets sends: it is no frames
        behind = self._leave_http1()
        headers = dict(request.headers)  # the last value of each, as in gunicorn
        if headers.get("SEC-WEBSOCKET-VERSION", "").strip() != _WEBSOCKET_VERSION:
            wanted = (("Sec-WebSocket-Version", _WEBSOCKET_VERSION),)
            self._send_error_response(426, "Upgrade Required", wanted)
            return
        if not valid_websocket_key(headers.get("SEC-WEBSOCKET-KEY", "").strip()):
            self._send_error_response(400, "Bad Request")
            return
        self._websocket = WebSocket(
            self.transport,
            self._build_websocket_scope(request, sockname, peername),
            self.app,
            self.log,
            max_message_size=self.cfg.websocket_max_message_size,
            drain=self._flow_control.drain,
        )
        self._resume_reading()
        self._websocket.feed_data(behind)
        await self._websocket.run()

    def _build_websocket_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_websocket_scope(request, sockname, peername)
        scope[SOCKET_KEY] = self.client
        if self.client.family == socket.AF_UNIX:
            scope["server"], scope["client"] = (sockname, None), None
        return scope

    async def _handle_http2_connection(self, transport: Any, ssl_object: Any, upgrade: Any = None) -> None:
        self.app = self.worker.measured_app
        self.worker = _AsItIs(self.worker)
        await super()._handle_http2_connection(transport, ssl_object, upgrade)

    async def _handle_connection_uwsgi(self, peername: Any, sockname: Any) -> None:
        self.app = self.worker.measured_app
        self.worker = _AsItIs(self.worker)
        await super()._handle_connection_uwsgi(peername, sockname)


class _AsItIs:
    """The worker, for HTTP/2, which announces a close in its own way, and for uWSGI, which has none."""

    def __init__(self, worker: ASGIWorker) -> None:
        self.__dict__["_worker"] = worker

    def __getattr__(self, name: str) -> Any:
        if name == "alive":
            return not self._worker.is_leaving
        if name == "max_requests":
            return self._worker.request_limit
        return getattr(self._worker, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._worker, name, value)
