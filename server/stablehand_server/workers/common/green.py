"""What gevent and eventlet have in common: a green thread for each connection, and a tick that checks them all."""

from __future__ import annotations

import errno
import math
import ssl
import time
from typing import TYPE_CHECKING, Any, ClassVar

from greenlet import GreenletExit, getcurrent

from stablehand_server.config import remembered
from stablehand_server.gunicorn_internals.serving import NoMoreData, get_parser
from stablehand_server.gunicorn_internals.sockets import close, is_http2_negotiated
from stablehand_server.gunicorn_internals.workers import AsyncWorker
from stablehand_server.workers.common import arrived, unread_body
from stablehand_server.workers.common.base import (
    FIRST_REQUEST_SECONDS,
    HEADER_SECONDS,
    LAG_TICK_SECONDS,
)
from stablehand_server.workers.common.half_closed import HalfClosed
from stablehand_server.workers.common.watched_client import WatchedClient
from stablehand_server.workers.common.wsgi import WSGIWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_server.gunicorn_internals.settings import Config

_SECONDS_BETWEEN_BEATS = 1.0
# How long a client whose next request has always already arrived may continue before the others have their turn.
_TURN_SECONDS = 0.001
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class GreenWorker(WSGIWorker, AsyncWorker):
    """Serves each connection in a green thread; a subclass knows how its library creates, switches and ends them."""

    threaded: ClassVar[bool] = False
    changes_in_place: ClassVar[frozenset[str]] = frozenset({"worker_connections"})

    forking: Any = None  # in a process that the app has forked: the green thread that did it
    worker_connections: int  # gunicorn's own, which has no type there

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of connections, each of which may be a request."""
        return int(config.worker_connections)

    def run(self) -> None:
        """Serve until told to retire, then let every connection have its last request."""
        remembered.remember(self.cfg)
        self._clients: set[WatchedClient] = set()
        self._half_closed = HalfClosed(self.wait_until_readable)
        self._served_last: WatchedClient | None = None
        self._turn_ends = 0.0
        self._http2 = "h2" in self.cfg.http_protocols or self.cfg.http2_cleartext != "off"
        # gunicorn lets a client take that long for its request, and without limit if there is no keep-alive.
        patience = float(self.cfg.keepalive) or math.inf
        self._first_request_seconds = max(FIRST_REQUEST_SECONDS, patience)
        self._header_seconds = max(HEADER_SECONDS, patience)
        # Before anything is accepted: whatever blocks the hub from then on is detected as at any later time.
        self.notify()
        self._beat_at = time.monotonic() + _SECONDS_BETWEEN_BEATS
        self.start_accepting()
        while self.alive:
            self._tick()
        self.stop_accepting()
        self._retire()

    def become_apps_child(self) -> None:
        """Look after no connection any more; gunicorn's way, too, is to end within a second, as `notify` has it."""
        super().become_apps_child()
        self._clients = set()
        self._half_closed = HalfClosed(self.wait_until_readable)
        self.forking = getcurrent()

    # What the library does --------------------------------------------------------------------------------------------

    def start_accepting(self) -> None:
        """Start to call `serve` for each new connection, in a separate green thread."""
        raise NotImplementedError

    def stop_accepting(self) -> None:
        """Stop accepting."""
        raise NotImplementedError

    def count_accepted(self) -> int:
        """Return for how many connections `serve` has not returned, or not even started."""
        raise NotImplementedError

    def abandon_connections(self) -> None:
        """End what is left when the time to finish is over."""
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        """Let other green threads run for so many seconds."""
        raise NotImplementedError

    def let_others_run(self) -> None:
        """Return after the hub has polled every socket once."""
        raise NotImplementedError

    def wait_until_readable(self, fileno: int, seconds: float) -> None:
        """Let others run until a descriptor is readable, including the end of its stream.

        Raises:
            TimeoutError: when it is not within so many seconds.
        """
        raise NotImplementedError

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in a new green thread."""
        raise NotImplementedError

    def secured(self, client: Any) -> Any:
        """Return the connection with TLS around it, after the handshake."""
        raise NotImplementedError

    # The main green thread --------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        planned = time.monotonic() + LAG_TICK_SECONDS
        for seconds in self.naps():
            self.pause(seconds)
        now = time.monotonic()
        self.note_lag(now - planned)
        self.note_connections(self.count_accepted() + len(self._half_closed))
        for client in self._clients:
            client.look(now)
        if now >= self._beat_at:
            self._beat_at = now + _SECONDS_BETWEEN_BEATS
            self.notify()

    def _retire(self) -> None:
        started = time.monotonic()
        last_call = started + self.linger_seconds()
        while self._has_connections() and self.may_finish():
            if time.monotonic() >= last_call:
                self._wake_idle()
            self._tick()
        if self.count_accepted():
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
            self.abandon_connections()

    def _has_connections(self) -> bool:
        return self.count_accepted() > 0 or len(self._half_closed) > 0

    def _wake_idle(self) -> None:
        for client in self._clients:
            if client.idle:
                client.give_up()
        self._half_closed.give_up()

    # A connection's green thread --------------------------------------------------------------------------------------

    def serve(self, listener: Any, name: Any, client: Any, address: Any) -> None:
        """Serve a connection, and close it; `name` is the listener's own address."""
        watched = WatchedClient(client, self._header_seconds)
        self._clients.add(watched)
        answered_error = False
        try:
            client.setblocking(True)  # for its own green thread, whatever default the app has set
            if self.cfg.is_ssl:
                client = self._shake_hands(watched, client)
            if self._http2 and (self.cfg.http2_cleartext != "off" or is_http2_negotiated(client)):
                watched.wait_no_more()
                super().handle(listener, client, address)
            else:
                self._converse(watched, name, client, address)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the client gets an answer)
            answered_error = self._answer(error, watched.request, client, address)
        finally:
            self._clients.discard(watched)
            unread = watched.request is not None and unread_body.is_left(watched.request)
            self._close(client, client_may_send=unread or answered_error)

    def _shake_hands(self, watched: WatchedClient, client: Any) -> Any:
        watched.await_request(HEADER_SECONDS)
        try:
            secured = self.secured(client)
        except OSError as error:
            raise NoMoreData from error
        watched.read_through(secured)
        return secured

    def _converse(self, watched: WatchedClient, name: Any, client: Any, address: Any) -> None:
        """Serve requests, one after the other, until the client or a response ends that.

        Raises:
            BaseException: what has ended it, StopIteration and NoMoreData being the ordinary ends.
        """
        parser = get_parser(self.cfg, watched, address)
        watched.await_request(self._first_request_seconds)
        proxy_protocol: dict[str, Any] = {}
        while True:
            request = watched.request = next(parser)
            watched.wait_no_more()
            now = time.monotonic()
            if watched is not self._served_last:
                self._turn_ends = now + _TURN_SECONDS
            elif now >= self._turn_ends:
                self.let_others_run()
                self._turn_ends = time.monotonic() + _TURN_SECONDS
            self._served_last = watched
            proxy_protocol = request.proxy_protocol_info or proxy_protocol
            request.proxy_protocol_info = proxy_protocol
            if unread_body.is_left(request):
                unread_body.promise_only_what_holds(request)
            if self.handle_request(name, request, client, address) is False:
                return  # the app has taken over the connection
            if self.is_apps_child:
                return  # the next request is the worker's
            if unread_body.is_left(request) and not unread_body.discard(
                request, parser.unreader, watched, self.let_others_run
            ):
                return
            watched.request = None
            if not request.body.failed:
                parser.mesg = None  # gunicorn would look for the rest of its body, which has been read
            watched.await_request(self.cfg.keepalive)

    def _answer(self, error: BaseException, request: Any, client: Any, address: Any) -> bool:
        """Report to the client or the log why a connection has ended; return whether the client got an answer."""
        if isinstance(error, NoMoreData | StopIteration | GreenletExit):
            self.log.debug("End of connection: %s", error)
        elif isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            if error.errno not in _GONE:
                self.log.error("Socket error processing request.", exc_info=error)
        elif not isinstance(error, ssl.SSLError) or error.errno != ssl.SSL_ERROR_EOF:
            self.handle_error(request, client, address, error)
            return True
        return False

    def _close(self, client: Any, *, client_may_send: bool) -> None:
        fileno = client.fileno()
        if fileno < 0:
            return  # by the app
        sending = client_may_send or arrived.bytes_waiting(fileno) > 0
        if not sending or self.is_apps_child or self._half_closed.is_full():
            close(client)
        elif (plain := self._half_closed.take(client)) is not None:
            self.spawn(self._half_closed.close_when_done, plain)
