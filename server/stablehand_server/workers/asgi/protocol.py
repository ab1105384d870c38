"""gunicorn's ASGI connection: measured, without a task of its own, and never closed unannounced.

gunicorn runs a task for each connection, which awaits an event for each request, starts another task for the app and
awaits a future for its response. Here the parser's callback starts the app's task, and the end of the response reads
the next request: that saves more time than measuring takes.

gunicorn checks again whether its worker still serves after a response is complete, and closes the connection if not,
even if the response's headers had promised to keep it: the client's next request, which may be in transit, is lost.
Here only what the headers announced counts. So `worker.alive` stays true for HTTP/1 until the worker's end, and
`_will_close`, which determines the headers, checks whether it retires.

What takes over a connection, HTTP/2, uWSGI's protocol or a websocket, is nearly gunicorn's own: see `Takeover`.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.asgi import MOST_FINISHING_APP_CALLS, ASGIProtocol
from stablehand_server.workers.asgi.body_receiver import BodyReceiver
from stablehand_server.workers.asgi.bridged_exchange import BridgedExchange
from stablehand_server.workers.asgi.discarded import Discarded
from stablehand_server.workers.asgi.exchange import Exchange
from stablehand_server.workers.asgi.reading import Reading
from stablehand_server.workers.asgi.scopes import Scopes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from stablehand_server.workers.asgi.bridge import Bridge
    from stablehand_server.workers.asgi.worker import ASGIWorker


_DISCARD_SECONDS = 5.0  # for what is left of a body; gunicorn's threads allow as long


class Connection(Reading, Scopes):
    """One client connection."""

    transport: Any

    # gunicorn's own attributes, which have no types there
    _closed: bool
    _scope_addresses: tuple[Any, Any, Any, Any] | None
    _current_request: Any
    _leaving: asyncio.Task[None]
    _finishing_calls: dict[asyncio.Task[None], Any]
    _is_ssl: bool
    _max_buffer_size: int
    _reading_paused: bool
    cfg: Any
    req_count: int

    def __init__(self, worker: ASGIWorker, accepted: tuple[Any, Any] | None = None) -> None:
        """Take the worker, and the client's address and the listener's name as reported by the listener."""
        Reading.__init__(self)
        ASGIProtocol.__init__(self, worker)
        self._accepted = accepted
        self._bridge = worker.bridge
        self._outlet = None
        self._is_handed_over = False
        self._recorder = worker.http1_recorder
        self._serves_http1 = False  # and nothing has taken the connection over
        self._held = False  # a request waits until fewer of the app's calls are left
        self._ending = False  # it closes once none is left
        self.status = 0  # of the newest response
        self._ends_at = worker.connection_end()

    # The connection's life --------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Start to serve; a silent client is not waited for longer than under any other class."""
        self.worker.connections.add(self)
        self.client = transport.get_extra_info("socket")
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Allow another connection in its place."""
        self.wait_no_more()
        if self._outlet is not None:
            self._outlet.hang_up()
        super().connection_lost(exc)
        if self._finishing_calls and (self._task is None or self._task.done()):
            # gunicorn's task of the connection would still exist, and be cancelled together with those.
            self.worker.loop.call_later(self.cfg.asgi_disconnect_grace_period, self._cancel_task_if_pending)
        self.worker.connection_ended(self)

    def close_if_idle(self) -> None:
        """Close the connection unless it is serving a request, or has one to read."""
        if self.idle and not self.data_waits():
            self._close_transport()

    def take_leave(self) -> None:
        """Notify the app that its client has disconnected, and a websocket's client that the server shuts down.

        A response that the app then ends is still completed correctly.
        """
        if self._websocket is not None:
            self._leaving = self.worker.loop.create_task(self._websocket.take_leave())
        elif self._serves_http1 and self._bridge is None:
            for receiver in (self._body_receiver, *self._finishing_calls.values()):
                if receiver is not None:
                    receiver.signal_disconnect()

    def is_last_response(self) -> bool:
        """Return whether the response that starts now is the connection's last."""
        return bool(self.worker.is_last_response()) or monotonic() >= self._ends_at

    def give_up(self) -> None:
        """Close the connection."""
        self._close_transport()

    def data_waits(self) -> bool:
        """Return whether the socket has data that the loop has not read yet."""
        client = self.client
        try:
            with socket.fromfd(client.fileno(), client.family, client.type) as same:
                return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except (OSError, ValueError):
            return False

    def _cancel_task_if_pending(self) -> None:
        super()._cancel_task_if_pending()
        for task in tuple(self._finishing_calls):
            task.cancel()

    # HTTP/1 -----------------------------------------------------------------------------------------------------------

    def _start_http1(self, buffered: bytes = b"") -> None:
        self._sockname = sockname = self.transport.get_extra_info("sockname")
        self._peername = peername = self.transport.get_extra_info("peername")
        if self.client.family == socket.AF_UNIX:
            # Of a Unix socket's path gunicorn takes two characters for host and port.
            self._scope_addresses = (sockname, peername, (sockname, None), None)
        self._request_ready = _Begin(self._request_came)
        self._set_up_parser(peername)
        self.app = self.worker.http1_app
        self._serves_http1 = True
        self.await_request(self.worker.first_request_seconds())
        if buffered:
            self.data_received(buffered)

    def _request_came(self) -> None:
        request = self._current_request
        self.wait_no_more()
        if self._closed or request is None:
            return
        if self.req_count == 0:  # a proxy names the client before the first one
            self._peername = self._effective_peername(self._peername)
        self.req_count += 1
        if request.may_upgrade():
            if self._h2c_upgrade_settings is not None:
                self._take_over(self._handle_h2c_upgrade(request))
                return
            if self._bridge is None and self._is_websocket_upgrade(request):
                self._take_over(self._handle_websocket(request, self._sockname, self._peername))
                return
        if len(self._finishing_calls) >= MOST_FINISHING_APP_CALLS:
            self._held = True
        else:
            self._begin()

    def _begin(self) -> None:
        if self._bridge is not None:
            self._begin_bridged(self._bridge)
            return
        receiver = self._body_receiver
        receiver.__class__ = BodyReceiver
        exchange = Exchange(self, receiver, self._recorder)
        served = exchange.serve(self._current_request, self._sockname, self._peername)
        # In a context of the worker, not in that of the app's call that has just ended and resumed the parser.
        exchange.task = self._task = self.worker.context.run(self.worker.loop.create_task, served)

    def _begin_bridged(self, bridge: Bridge) -> None:
        exchange = BridgedExchange(self, bridge)
        self._body_receiver, self._outlet = exchange.receiver, exchange.outlet
        client, server = self._accepted or (self._peername, self._sockname)
        request = self._current_request
        upgrades = request.may_upgrade() and not (request.chunked or request.content_length)
        exchange.begin(request, client, server, getattr(self._callback_parser, "proxy_protocol_info", None))
        if upgrades:
            self.hold_back()

    def response_complete(self, exchange: Exchange, keep_alive: bool) -> bool:  # noqa: FBT001 (gunicorn's answer)
        """Read the next request, although the app may still be running; return whether that was possible.

        Not before the app has returned if it has left part of the request's body, which would then no longer count
        against the limit of buffered data, or if a user's hook comes after it.
        """
        receiver = exchange.receiver
        if not keep_alive or self._post_request is not None or not receiver._complete or receiver.buffered:  # noqa: SLF001
            return False
        self._finishing_calls[exchange.task] = receiver
        self._read_next()
        return True

    def exchange_ended(self, exchange: Exchange | BridgedExchange, keep_alive: bool) -> None:  # noqa: FBT001 (gunicorn's answer)
        """Continue after the app's call has returned."""
        self._outlet = None
        self._holds_back = False
        keep_alive = keep_alive and not self._closed and not self._is_handed_over
        if exchange.task_is_finishing:
            del self._finishing_calls[exchange.task]
            if self._held:
                self._held = False
                if not self._closed:
                    self._begin()
        elif keep_alive and exchange.receiver._complete:  # noqa: SLF001 (by gunicorn's name)
            self._read_next()
        elif keep_alive and not self._hears_no_more and self._serves_http1 and self._rest_will_come():
            self._discard_rest()
            return
        else:
            self._ending = True
        self._await_next()

    def _await_next(self) -> None:
        if self._finishing_calls:
            return
        if self._ending:
            self._close_transport()
        elif self._current_request is None and self._serves_http1 and not self._closed:
            if self._has_begun or self._behind:
                self.await_headers()
            else:
                self.await_request(self._keepalive)

    def _rest_will_come(self) -> bool:
        """Return whether the client sends the body, which it may omit if it expected to be asked for it."""
        # A WSGI app's client has always been asked.
        return self._bridge is not None or not self._current_request._expect_100_continue  # noqa: SLF001 (gunicorn's own)

    def _discard_rest(self) -> None:
        """Read what the app has left of the request's body: what follows it is the next request."""
        self._body_receiver = Discarded(self._rest_discarded, self._close_transport)
        self._resume_reading()
        self.worker.loop.call_later(_DISCARD_SECONDS, self._give_up_discarding, self._body_receiver)

    def _rest_discarded(self) -> None:
        self.worker.loop.call_soon(self._go_on_after_rest)  # not from within the parser

    def _go_on_after_rest(self) -> None:
        if not self._closed:
            self._read_next()
            self._await_next()

    def _give_up_discarding(self, discarded: Discarded) -> None:
        if self._body_receiver is discarded and not discarded._complete:  # noqa: SLF001 (by gunicorn's name)
            self._close_transport()

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:  # noqa: FBT001 (gunicorn's signature)
        if super()._will_close(request, response_requires_close):
            return True
        return self.is_last_response()

    def _send_response_start(self, status: int, headers: Any, request: Any, close: bool = False) -> None:  # noqa: FBT001, FBT002 (gunicorn's signature)
        self.status = status
        super()._send_response_start(status, headers, request, close)


class _Begin:
    """Replaces the event with which gunicorn's parser wakes a connection's task."""

    __slots__ = ("set",)

    def __init__(self, begin: Callable[[], None]) -> None:
        self.set = begin
