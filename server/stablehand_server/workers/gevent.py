"""gunicorn's gevent worker: retires at once, keeps its promises to idle connections, and knows how late its hub is."""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import http, util
from gunicorn.http.errors import NoMoreData
from gunicorn.sock import ssl_context
from gunicorn.workers import ggevent

from stablehand_server.workers.common.base import FIRST_REQUEST_SECONDS, LAG_TICK_SECONDS, MeasuredWorker
from stablehand_server.workers.common.watched_client import WatchedClient

if TYPE_CHECKING:
    from gunicorn.config import Config

_SECONDS_BETWEEN_BEATS = 1.0
_DRAIN_SECONDS = 5.0  # for what the app left unread of a request's body


class GeventWorker(MeasuredWorker, ggevent.GeventWorker):
    """A greenlet for each connection."""

    threaded: ClassVar[bool] = False
    grows_in_place: ClassVar[frozenset[str]] = frozenset({"worker_connections"})
    _pools: tuple[Any, ...] = ()  # one for each listener, from run() on

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of connections, each of which may be a request."""
        return int(config.worker_connections)

    def run(self) -> None:
        """Serve until told to retire, then let every connection have its last request."""
        self._clients: set[WatchedClient] = set()
        self._listener_names: dict[Any, Any] = {}
        self._beat_at = 0.0
        self._served_last: WatchedClient | None = None
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        servers = []
        for listener in self.sockets:
            listener.setblocking(True)  # gevent's own notion: the descriptor itself stays non-blocking
            pool = Pool(self.worker_connections)
            # Asked for now: when the worker retires, the listener is closed before the last requests are served.
            self._listener_names[listener] = listener.getsockname()
            server = StreamServer(listener, handle=partial(self.handle, listener), spawn=pool, **tls)
            if self.cfg.workers > 1:
                server.max_accept = 1  # leave something to the siblings
            server.start()
            servers.append(server)
        pools = [server.pool for server in servers]
        self._pools = tuple(pools)

        while self.alive:
            self._tick(pools)
        for server in servers:
            server.close()
        self._retire(pools)

    def grow(self, threads: int, worker_connections: int) -> None:
        """Let each listener's pool have more greenlets."""
        del threads
        for pool in self._pools:
            for _ in range(worker_connections - pool.size):
                pool._semaphore.release()  # noqa: SLF001 (there is no public way to let a pool grow)
            pool.size = worker_connections
        self.worker_connections = worker_connections

    def _tick(self, pools: list[Any]) -> None:
        planned = time.monotonic() + LAG_TICK_SECONDS
        gevent.sleep(LAG_TICK_SECONDS)
        now = time.monotonic()
        self.note_lag(now - planned)
        self.note_connections(sum(map(len, pools)))
        for client in self._clients:
            client.look(now)
        if now >= self._beat_at:
            self._beat_at = now + _SECONDS_BETWEEN_BEATS
            self.notify()

    def _retire(self, pools: list[Any]) -> None:
        started = time.monotonic()
        last_call = started + self.linger_seconds()
        while any(pools) and time.monotonic() < started + self.cfg.graceful_timeout:
            self._tick(pools)
            if time.monotonic() >= last_call:
                self._wake_idle()
        if any(pools):
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
            for pool in pools:
                pool.kill(block=True, timeout=1)

    def _wake_idle(self) -> None:
        for client in self._clients:
            if client.idle:
                client.give_up()

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        """Serve a connection's requests, one after the other."""
        if "h2" in self.cfg.http_protocols or self.cfg.http2_cleartext != "off":
            super().handle(listener, client, address)
            return
        request = None
        watched = WatchedClient(client)
        self._clients.add(watched)
        try:
            client.setblocking(True)
            parser = http.get_parser(self.cfg, watched, address)
            name = self._listener_names[listener]
            patience = FIRST_REQUEST_SECONDS
            proxy_protocol: dict[str, Any] = {}
            while True:
                request = None
                watched.await_request(patience)
                request = next(parser)
                watched.wait_no_more()
                if watched is self._served_last:
                    _let_others_run()
                self._served_last = watched
                proxy_protocol = request.proxy_protocol_info or proxy_protocol
                request.proxy_protocol_info = proxy_protocol
                self.handle_request(name, request, client, address)
                if _has_more_body(request) and not parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS):
                    break
                patience = self.cfg.keepalive
        except (NoMoreData, StopIteration) as end:
            self.log.debug("End of connection: %s", end)
        except (OSError, gevent.GreenletExit) as error:
            if isinstance(error, ssl.SSLError) and error.errno != ssl.SSL_ERROR_EOF:
                self.handle_error(request, client, address, error)
            else:
                self.log.debug("The client has gone: %s", error)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the client gets an answer)
            self.handle_error(request, client, address, error)
        finally:
            self._clients.discard(watched)
            util.close(client)


def _let_others_run() -> None:
    """Return after the hub has looked at every socket once.

    A connection whose next request is there already never waits, and would keep the hub for as long as that goes on.
    `gevent.sleep(0)` comes back up to fifty times before the hub looks at a socket.
    """
    hub = gevent.get_hub()
    timer = hub.loop.timer(0.0)
    try:
        hub.wait(timer)
    finally:
        timer.close()


def _has_more_body(request: Any) -> bool:
    """Tell whether the app may have left something of the request's body unread; most requests have none."""
    return getattr(request.body.reader, "length", 1) != 0
