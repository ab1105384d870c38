"""A WSGI app under the asgi worker: a2wsgi runs it in a pool of threads, and here is what a2wsgi leaves open."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from a2wsgi.wsgi import WSGIMiddleware, WSGIResponder

from stablehand_server.measure.asgi import SOCKET_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNKS_UNDER_WAY = 10  # of one response, between the app's thread and the loop


class ClientGoneError(ConnectionError):
    """Raised in the app's thread when its response has no reader any more."""


class Bridge(WSGIMiddleware):
    """A WSGI app as an ASGI app, that serves as many requests at once as it has threads."""

    def __init__(self, app: Callable[..., Any], threads: int, thread_freed: Callable[[], None]) -> None:
        super().__init__(_with_gunicorns_environ(app), workers=threads)
        self._threads = threads
        self._requests = 0
        self._thread_freed = thread_freed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request in a thread; refuse a websocket."""
        if scope["type"] == "http":
            self._requests += 1
            try:
                await _Responder(self.app, self.executor, _CHUNKS_UNDER_WAY)(scope, receive, send)
            finally:
                self._requests -= 1
                self._thread_freed()
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    @property
    def is_full(self) -> bool:
        """Whether the next request would wait for a thread."""
        return self._requests >= self._threads

    def grow(self, threads: int) -> None:
        """Let the pool start more threads."""
        self._threads = threads
        self.executor._max_workers = threads  # noqa: SLF001 (a pool starts threads up to it, on demand; no public way)


class _Responder(WSGIResponder):
    """Frees the app's thread when the request is over: nobody would take the next chunk from it."""

    _over = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over = True
            while not self.send_queue.empty():  # a thread may be waiting for room
                self.send_queue.get_nowait()

    def send(self, message: Any) -> None:
        if self._over:
            raise ClientGoneError("the client has closed the connection")
        asyncio.run_coroutine_threadsafe(self.send_queue.put(message), loop=self.loop).result()


def _with_gunicorns_environ(app: Callable[..., Any]) -> Callable[..., Any]:
    def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        scope = environ["asgi.scope"]
        environ["gunicorn.socket"] = scope.pop(SOCKET_KEY, None)
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.input_terminated"] = True  # reading to the end is safe, with or without a length
        return app(environ, start_response)

    return called
