"""A worker for eventlet, which gunicorn had until version 25: for apps that need it, not for new ones.

The master never imports eventlet, which warns at every fork from then on: only a worker does, and patches the standard
library before it loads the app.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn import http, sock, util
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.base_async import AsyncWorker

from stablehand_server.workers.common.base import (
    FIRST_REQUEST_SECONDS,
    HEADER_SECONDS,
    LAG_TICK_SECONDS,
    MeasuredWorker,
)

if TYPE_CHECKING:
    from gunicorn.config import Config

if importlib.util.find_spec("eventlet") is None:
    raise ModuleNotFoundError("No module named 'eventlet'", name="eventlet")

_SECONDS_BETWEEN_BEATS = 1.0
_DRAIN_SECONDS = 5.0  # for what the app left unread of a request's body


class EventletWorker(MeasuredWorker, AsyncWorker):
    """A green thread for each connection."""

    grows_in_place: ClassVar[frozenset[str]] = frozenset({"worker_connections"})

    worker_connections: int  # gunicorn's own, which has no type there

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of connections, each of which may be a request."""
        return int(config.worker_connections)

    def init_process(self) -> None:
        """Make the process cooperative, and then boot as any other class does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that eventlet is deprecated: whoever chooses it knows
            import eventlet  # noqa: PLC0415 (never in the master)
            import eventlet.hubs  # noqa: PLC0415
            import eventlet.semaphore  # noqa: PLC0415

            eventlet.monkey_patch()
        self._eventlet = eventlet
        self.cfg.set("sendfile", False)  # a green socket cannot: the file is read and sent instead
        super().init_process()

    def run(self) -> None:
        """Serve until told to retire, then let every connection have its last request."""
        green = self._eventlet
        self._idle: set[Any] = set()
        self._open: set[Any] = set()
        self._room = green.semaphore.Semaphore(self.worker_connections)
        self._beat_at = 0.0
        self._never_waits: Any = None  # the client whose last request was there at once
        acceptors = [green.spawn(self._accept_from, listener, listener.getsockname()) for listener in self.sockets]
        while self.alive:
            self._tick()
        for acceptor in acceptors:
            green.kill(acceptor)
        self._retire()

    def grow(self, threads: int, worker_connections: int) -> None:
        """Take more connections."""
        del threads
        for _ in range(worker_connections - self.worker_connections):
            self._room.release()
        self.worker_connections = worker_connections

    def notify(self) -> None:
        """Beat, and end with the master."""
        super().notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Quit from a green thread: gunicorn sleeps on the way, which the hub itself cannot."""
        self._eventlet.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """Reopen the logs from a green thread: their locks are green too."""
        self._eventlet.spawn(super().handle_usr1, sig, frame)

    def is_already_handled(self, respiter: Any) -> bool:
        """Tell whether the app has taken over the connection, as eventlet's websockets do."""
        wsgi = sys.modules.get("eventlet.wsgi")
        if wsgi is not None and getattr(wsgi.WSGI_LOCAL, "already_handled", False):
            return True
        return bool(super().is_already_handled(respiter))

    def _tick(self) -> None:
        planned = time.monotonic() + LAG_TICK_SECONDS
        self._eventlet.sleep(LAG_TICK_SECONDS)
        now = time.monotonic()
        self.note_lag(now - planned)
        self.note_connections(len(self._open))
        if now >= self._beat_at:
            self._beat_at = now + _SECONDS_BETWEEN_BEATS
            self.notify()

    def _retire(self) -> None:
        started = time.monotonic()
        last_call = started + self.linger_seconds()
        while self._open and time.monotonic() < started + self.cfg.graceful_timeout:
            self._tick()
            if time.monotonic() >= last_call:
                self._wake_idle()
        if self._open:
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)

    def _wake_idle(self) -> None:
        # Whoever waits for a request sees the end of the stream; one whose request has just come still reads it first.
        for client in self._idle:
            try:
                client.shutdown(socket.SHUT_RD)
            except OSError:  # noqa: PERF203 (the client has gone meanwhile, which is as good)
                continue

    def _accept_from(self, listener: Any, name: Any) -> None:
        green = self._eventlet
        listener.setblocking(False)
        while True:
            green.hubs.trampoline(listener.fileno(), read=True)
            self._room.acquire()
            try:
                client, address = listener.accept()
            except OSError as error:
                self._room.release()
                if not isinstance(error, BlockingIOError | InterruptedError | ConnectionAbortedError):
                    self.log.error("Cannot accept a connection: %s", error)  # noqa: TRY400 (the sentence is what helps)
                    green.sleep(1.0)
                continue
            self._open.add(client)
            green.spawn_n(self._serve, name, client, address)

    def _serve(self, name: Any, client: Any, address: Any) -> None:
        try:
            self._converse(name, client, address)
        finally:
            self._open.discard(client)
            self._room.release()

    def _converse(self, name: Any, client: Any, address: Any) -> None:
        request = None
        talking = client
        try:
            talking = self._eventlet.greenio.GreenSocket(client)
            if self.cfg.is_ssl:
                talking = sock.ssl_wrap_socket(talking, self.cfg)
            parser = http.get_parser(self.cfg, talking, address)
            patience = FIRST_REQUEST_SECONDS
            proxy_protocol: dict[str, Any] = {}
            while self._request_comes(talking, parser, patience):
                request = None
                with self._eventlet.Timeout(HEADER_SECONDS, False):
                    request = next(parser)
                if not request:
                    break
                proxy_protocol = request.proxy_protocol_info or proxy_protocol
                request.proxy_protocol_info = proxy_protocol
                if not self.handle_request(name, request, talking, address):
                    break  # the app has the connection now
                if not parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS):
                    break
                patience = self.cfg.keepalive
        except (NoMoreData, StopIteration) as end:
            self.log.debug("End of connection: %s", end)
        except OSError as error:
            if isinstance(error, ssl.SSLError) and error.errno != ssl.SSL_ERROR_EOF:
                self.handle_error(request, talking, address, error)
            else:
                self.log.debug("The client has gone: %s", error)
        except Exception as error:  # noqa: BLE001 (whatever it is, the client gets an answer)
            self.handle_error(request, talking, address, error)
        finally:
            util.close(talking)

    def _request_comes(self, client: Any, parser: Any, patience: float) -> bool:
        """Wait for a request's first byte; one that is there always counts, also when the hub was blocked meanwhile."""
        if parser.unreader.buf.getvalue() or _readable(client):
            if client is self._never_waits:
                self._eventlet.sleep(0)  # otherwise it would have every turn
            self._never_waits = client
            return True
        self._never_waits = None
        self._idle.add(client)
        try:
            self._eventlet.hubs.trampoline(client.fileno(), read=True, timeout=patience, timeout_exc=TimeoutError)
        except TimeoutError:
            return _readable(client)
        finally:
            self._idle.discard(client)
        return True


def _readable(client: Any) -> bool:
    if isinstance(client, ssl.SSLSocket) and client.pending():
        return True
    plain = client.fd if hasattr(client, "fd") else client
    try:
        return bool(socket.socket.recv(plain, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except (BlockingIOError, AttributeError, TypeError):
        return False
