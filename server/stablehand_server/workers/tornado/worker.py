"""gunicorn's tornado worker, which runs no hooks and measures nothing, with our own server and handling of requests.

A WSGI app runs within the loop, one request at a time; a Tornado application runs as many as there are connections.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application
from tornado.wsgi import WSGIContainer

from stablehand_server.gunicorn_internals.sockets import ssl_context
from stablehand_server.gunicorn_internals.tornado import TornadoWorker as GunicornTornadoWorker
from stablehand_server.shared_memory import Cell
from stablehand_server.workers.common.base import LAG_TICK_SECONDS, LONGEST_SILENCE_SECONDS, MeasuredWorker
from stablehand_server.workers.common.loop_in_child import LoopInChild
from stablehand_server.workers.tornado.requests import InlineContainer, MeasuredApplication
from stablehand_server.workers.tornado.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS_BETWEEN_BEATS = 1.0
_LONGEST_CHILD_SECONDS = 2.0  # of what the app has forked, back in the loop: as long as gunicorn's at most
_TAKING_LEAVE_SECONDS = 1.0  # for clients to answer a close frame


class TornadoWorker(MeasuredWorker, GunicornTornadoWorker):
    """One IOLoop."""

    has_loop: ClassVar[bool] = True

    _beat_at = 0.0
    _server: Server | None = None
    _loop_in_child: LoopInChild | None = None
    _own: MeasuredApplication | None = None  # a Tornado application

    def first_request_seconds(self) -> float:
        """Return the same time as Tornado, unless so many connections are open that other clients may need them."""
        if self._server is not None and 2 * self._server.connections > self.cfg.worker_connections:
            return super().first_request_seconds()
        return LONGEST_SILENCE_SECONDS

    def load_wsgi(self) -> None:
        """Load the app with the loop that will run it set as current, as Tornado applications expect."""
        asyncio.set_event_loop(asyncio.new_event_loop())
        super().load_wsgi()
        if not isinstance(self.wsgi, Application | WSGIContainer):
            self.refuse_asgi()

    def _served(self) -> Any:
        """Return what the server calls: a WSGI app measured where it is called, anything else by its requests."""
        if not isinstance(self.wsgi, Application | WSGIContainer):
            return InlineContainer(self.measured_wsgi(), self.cfg)
        own = self.wsgi if isinstance(self.wsgi, Application) else HTTPServer(self.wsgi)
        self._cells[Cell.SLOTS] = float(self.cfg.worker_connections)
        self._own = MeasuredApplication(own, self.unlocked_recorder())
        return self._own

    def call_app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call a WSGI app, without the socket by which its request has been measured.

        Tornado keeps reading from it: an app that took it over, for a websocket, would get only part of what arrives.
        """
        del environ["gunicorn.socket"]
        try:
            return super().call_app(environ, start_response)
        except Exception:
            if not self.is_apps_child:
                raise
            self.log.exception("A process that the app has forked failed")
            sys.exit(1)  # the worker answers the client, who would take a second answer for that to his next request

    def run(self) -> None:
        """Serve until told to retire; then give every connection its last request."""
        if "h2" in self.cfg.http_protocols:
            self.log.warning("The tornado worker speaks no HTTP/2: HTTP/1.1 only.")
        loop = IOLoop.current()
        try:
            loop.run_sync(self._serve)
        finally:
            loop.close()

    async def _serve(self) -> None:
        keepalive = float(self.cfg.keepalive)
        self._loop = asyncio.get_running_loop()
        server = Server(
            self._served(), no_keep_alive=keepalive <= 0, ssl_options=ssl_context(self.cfg) if self.cfg.is_ssl else None
        )
        self._server = server
        server.websockets.watch()
        server.begin(
            self.sockets, self.cfg.worker_connections, self._request_begins, self.log, alone=self.cfg.workers == 1
        )
        while self.alive or self.is_apps_child:
            await self._tick(server)
            server.close_idle(keepalive, self.first_request_seconds())
        server.retire(self.cfg)
        started = time.monotonic()
        while server.connections and self.may_finish():
            if time.monotonic() - started >= self.linger_seconds():
                server.close_idle(0.0, 0.0)
            else:
                server.close_idle(keepalive, self.first_request_seconds())
            await self._tick(server)
        if server.connections:
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
            await self._take_leave(server)

    async def _take_leave(self, server: Server) -> None:
        """End websockets and event streams as their protocols specify, and notify their handlers."""
        if self._own is not None:
            self._own.end_event_streams()
        server.websockets.close()
        until = time.monotonic() + _TAKING_LEAVE_SECONDS
        await self._tick(server)
        while len(server.websockets) and time.monotonic() < until:
            await self._tick(server)
            server.websockets.forget_closed()

    def become_apps_child(self) -> None:
        """Let the loop go on without the worker's connections, until the request that has forked is done."""
        super().become_apps_child()
        if self._server is not None:
            self._server.leave()
            self._loop_in_child = LoopInChild(self._loop, _LONGEST_CHILD_SECONDS)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: retire, at the loop's next tick; responses before that already announce that they are the last."""
        super().handle_exit(sig, frame)
        if self._server is not None:
            self._server.announce_closes()

    def drain(self) -> None:
        """Make every response from now on its connection's last."""
        if self._server is not None:
            self._server.announce_closes()

    def give_up(self, connections: int) -> None:
        """Do nothing: Tornado writes its headers itself, and its server closes all connections or none."""

    async def _tick(self, server: Server) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + _SECONDS_BETWEEN_BEATS
            self.notify()
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                self.alive = False
        planned = time.monotonic() + LAG_TICK_SECONDS
        for seconds in self.naps():
            await asyncio.sleep(seconds)
        if self._loop_in_child is not None:
            await self._loop_in_child.end()
        self.note_lag(time.monotonic() - planned)
        self.note_connections(server.connections)

    def _request_begins(self) -> None:
        self.nr += 1
        if self.alive and self.nr >= self.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
