"""Tornado's HTTP server, with a connection limit, a fair share of new ones, and a keep-alive timeout.

Tornado's own server accepts whatever waits, taking it from the other workers, and its keep-alive timeout takes
precedence over a request that arrived while the loop was blocked. Here a request that has arrived always counts.
"""

from __future__ import annotations

import math
import socket
import time
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from stablehand_server.workers.common.accepting import PAUSE_SECONDS, AcceptErrors
from stablehand_server.workers.common.app_forks import disconnect
from stablehand_server.workers.common.own_listeners import left_behind
from stablehand_server.workers.tornado.requests import ObservedDelegate
from stablehand_server.workers.tornado.websockets import WebSockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tornado.httputil import HTTPConnection, HTTPMessageDelegate

    from stablehand_server.gunicorn_internals.settings import Config

_ACCEPTED_AT_ONCE = 16  # if there are no other workers that could take them


class Server(HTTPServer):
    """Knows since when each connection has been idle: infinitely far in the future while it serves a request."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Accept the arguments of HTTPServer."""
        super().initialize(*args, **kwargs)
        self._idle_since: dict[Any, float] = {}
        self._has_asked: set[Any] = set()
        self._waits = False
        self._retiring = False
        self.websockets = WebSockets()

    def begin(
        self, listeners: Iterable[Any], limit: int, request_begins: Callable[[], None], log: Any, *, alone: bool
    ) -> None:
        """Accept up to so many connections; `alone` means that no other worker accepts from the same listeners."""
        self._accept_errors = AcceptErrors(log)
        self._listeners = list(listeners)
        self._limit = limit
        self._request_begins = request_begins
        self._at_once = _ACCEPTED_AT_ONCE if alone else 1
        for listener in self._listeners:
            listener.setblocking(False)
        self._wait_for_connections()

    def retire(self, config: Config) -> None:
        """Stop accepting, and make each connection's next request its last."""
        self._wait_no_more()
        for _, client, address in left_behind(config, self._listeners):
            self._handle_connection(client, address)
        self._retiring = True
        self.announce_closes()

    def leave(self) -> None:
        """Accept no more, and write to nobody, in a process that the app has forked."""
        self._retiring = True
        streams = (connection.stream for connection in self._connections)
        disconnect(stream.socket.fileno() for stream in streams if not stream.closed())

    def announce_closes(self) -> None:
        """Make each response that starts from now on its connection's last."""
        self.conn_params.no_keep_alive = True

    @property
    def connections(self) -> int:
        """How many connections are open, including websockets."""
        return len(self._connections) + len(self.websockets)

    def close_idle(self, keepalive: float, first_request: float) -> None:
        """Close what has been idle for so many seconds, after its last request or before its first.

        When websockets have ended, other clients may connect.
        """
        now = time.monotonic()
        self.websockets.forget_closed()
        self._wait_for_connections()
        for connection, since in tuple(self._idle_since.items()):
            patience = keepalive if connection in self._has_asked else first_request
            # A stream that no longer reads has received a request, of which its coroutine has not been notified yet.
            awaits = connection.stream.reading() and not _data_waits(connection.stream.socket)
            if now - since >= patience and awaits:
                connection.stream.close()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Wait for a connection's next request."""
        self._idle_since[server_conn] = time.monotonic()

        def begin() -> None:
            self._idle_since[server_conn] = math.inf
            self._has_asked.add(server_conn)
            self._request_begins()

        return ObservedDelegate(super().start_request(server_conn, request_conn), begin)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection, and accept another in its place."""
        super().on_close(server_conn)
        self._idle_since.pop(server_conn, None)
        self._has_asked.discard(server_conn)
        self._wait_for_connections()

    def _wait_for_connections(self) -> None:
        if self._waits or self._retiring or self.connections >= self._limit:
            return
        self._waits = True
        for listener in self._listeners:
            IOLoop.current().add_handler(listener, self._accept, IOLoop.READ)

    def _wait_no_more(self) -> None:
        if self._waits:
            self._waits = False
            for listener in self._listeners:
                IOLoop.current().remove_handler(listener)

    def _accept(self, listener: Any, _events: int) -> None:
        for _ in range(min(self._at_once, self._limit - self.connections)):
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_errors.note(error)
                if self._accept_errors.pause():
                    self._wait_no_more()
                    IOLoop.current().call_later(PAUSE_SECONDS, self._wait_for_connections)
                return
            self._handle_connection(client, address)
        if self.connections >= self._limit:
            self._wait_no_more()


def _data_waits(client: socket.socket | None) -> bool:
    if client is None:
        return False
    try:
        # As a plain socket's, since that of TLS takes no flags: its records will do as a sign.
        return bool(socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
