"""gunicorn's sync worker: one request at a time, not held up by silent or slowly closing clients."""

from __future__ import annotations

import errno
import os
import select
import selectors
import ssl
import time
from collections import deque
from socket import MSG_DONTWAIT, MSG_PEEK, SHUT_WR
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from stablehand_server.config import remembered
from stablehand_server.gunicorn_internals.serving import NoMoreData, get_parser
from stablehand_server.gunicorn_internals.sockets import ssl_wrap_socket
from stablehand_server.gunicorn_internals.workers import SyncWorker as GunicornSyncWorker
from stablehand_server.workers.common.accepting import AcceptErrors
from stablehand_server.workers.common.base import LONGEST_SILENCE_SECONDS
from stablehand_server.workers.common.lingering import LingeringCloses
from stablehand_server.workers.common.own_listeners import left_behind
from stablehand_server.workers.common.wsgi import WSGIWorker

if TYPE_CHECKING:
    import socket

_LONGEST_WAIT_SECONDS = 1.0
# Most clients speak as soon as they are connected: so long the worker waits for one before it looks for others, which
# until then are left to its siblings.
_PROMPT_MILLISECONDS = 20
_MOST_IN_A_ROW = 16  # connections that are served before the others are looked at
_SOON_SECONDS = 0.002  # for a client that was answered to close its side
_LONGEST_DRAIN_BYTES = 64 * 1024
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class _Silent(NamedTuple):
    """An accepted connection whose client has not sent anything yet."""

    listener: Any
    address: Any
    deadline: float


class SyncWorker(WSGIWorker, GunicornSyncWorker):
    """Waits on a selector for whichever connection has a request, serves it, and closes the connection.

    gunicorn's loop reads from a connection as soon as it is accepted, and blocks until the client sends something, and
    again until the client has closed its side.
    """

    threaded: ClassVar[bool] = False
    keeps_connections: ClassVar[bool] = False

    def first_request_seconds(self) -> float:
        """Return the same time as gunicorn, which blocks until --timeout ends the worker."""
        return max(super().first_request_seconds(), float(self.cfg.timeout or LONGEST_SILENCE_SECONDS))

    def run(self) -> None:
        """Serve until told to retire; then serve the connections that were already accepted, and exit."""
        remembered.remember(self.cfg)
        self._selector = selectors.DefaultSelector()
        self._lingering = LingeringCloses(self._selector)
        self._silent: dict[socket.socket, _Silent] = {}  # in the order of their deadlines
        self._answered: deque[socket.socket] = deque()
        self._accept_errors = AcceptErrors(self.log)
        self._accepts = False
        self.notify()
        self._selector.register(self.PIPE[0], selectors.EVENT_READ, self._drain_wakeups)
        for listener in self.sockets:
            listener.setblocking(False)

        while self.alive and self.is_parent_alive():
            paused = self._accept_errors.pause()
            self._accept_connections(not paused)
            self._serve_whoever_is_ready(at_most=paused or _LONGEST_WAIT_SECONDS)

        if self.is_apps_child:
            return
        self._accept_connections(False)
        for listener, client, address in left_behind(self.cfg, self.sockets):
            self._await_request(listener, client, address)
        until = time.monotonic() + self.linger_seconds()
        while (self._silent or self._answered or self._lingering) and (
            time.monotonic() < until or any(map(_has_spoken, self._silent))
        ):
            self._serve_whoever_is_ready()
        self._selector.close()

    def become_apps_child(self) -> None:
        """Leave connections and selector to the worker: what the kernel knows of an epoll is one for both processes."""
        super().become_apps_child()
        self.alive = False  # whatever the app does then, there is nothing more to serve
        if not self.booted:
            return
        self._selector.close()
        self._selector = selectors.DefaultSelector()
        for client in (*self._silent, *self._answered):
            client.close()
        self._silent, self._answered = {}, deque()
        self._lingering = LingeringCloses(self._selector)

    def _accept_connections(self, accepts: bool) -> None:  # noqa: FBT001 (a state)
        if accepts == self._accepts:
            return
        self._accepts = accepts
        for listener in self.sockets:
            if accepts:
                self._selector.register(listener, selectors.EVENT_READ, self._accept)
            else:
                self._selector.unregister(listener)

    def _serve_whoever_is_ready(self, at_most: float = _LONGEST_WAIT_SECONDS) -> None:
        self.note_connections(self._connections())
        served = self.nr
        # self.timeout is half of the setting, and 0 where the setting is 0: no limit
        wait = min(at_most, self.timeout or at_most)
        for key, _ in self._selector.select(_SOON_SECONDS if self._answered else wait):
            key.data(key.fileobj)
            if self.is_apps_child:
                return  # what else was ready is for the worker to serve
        if self.nr == served:
            self.notify()
            self._close_answered(but=0)
        self._lingering.expire()
        self._expire_silent()

    def _connections(self) -> int:
        return len(self._silent) + len(self._answered) + len(self._lingering)

    def _drain_wakeups(self, pipe: int) -> None:
        # Signals write here, so that none is missed while it sleeps.
        os.read(pipe, 4096)

    def _accept(self, listener: Any) -> None:
        # Several in a row, as in gunicorn: under load the selector has nothing new to report after each request.
        for _ in range(_MOST_IN_A_ROW):
            if not self.alive:
                return  # told to retire during this pass: the connection stays in the queue, for another worker
            try:
                client, address = listener.accept()
            except OSError as error:
                self._accept_errors.note(error)
                return
            if not _speaks_soon(client):
                self._await_request(listener, client, address)
                return
            self._serve(listener, client, address)

    def _await_request(self, listener: Any, client: socket.socket, address: Any) -> None:
        self._silent[client] = _Silent(listener, address, time.monotonic() + self.first_request_seconds())
        self._selector.register(client, selectors.EVENT_READ, self._serve_silent)

    def _serve_silent(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        silent = self._silent.pop(client)
        self._serve(silent.listener, client, silent.address)

    def _expire_silent(self) -> None:
        now = time.monotonic()
        for client, silent in list(self._silent.items()):
            if silent.deadline > now:
                return
            if _has_spoken(client):
                continue  # while another request was served: it is handled at the next poll of the selector
            del self._silent[client]
            self._selector.unregister(client)
            client.close()

    def _serve(self, listener: Any, client: socket.socket, address: Any) -> None:
        self.notify()
        self.note_connections(self._connections() + 1)
        client.setblocking(True)
        self.handle(listener, client, address)
        self._close_answered(but=1)

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        """Serve one request, and let the connection linger until the client has closed too."""
        request = None
        try:
            if self.cfg.is_ssl:
                client = ssl_wrap_socket(client, self.cfg)
            request = next(get_parser(self.cfg, client, address))
            self.handle_request(listener, request, client, address)
        except (NoMoreData, StopIteration) as end:
            self.log.debug("The client ended the connection: %s", end)
        except OSError as error:
            if isinstance(error, ssl.SSLError) and error.errno != ssl.SSL_ERROR_EOF:
                self.handle_error(request, client, address, error)
            elif error.errno not in _GONE and not isinstance(error, ssl.SSLError):
                self.log.exception("Socket error processing request.")
        except BaseException as error:  # noqa: BLE001 (a SystemExit ends this worker: the client gets an answer first)
            self.handle_error(request, client, address, error)
        if isinstance(client, ssl.SSLSocket):
            self._lingering.add(client)
            return
        try:
            client.shutdown(SHUT_WR)
        except OSError:  # the client has already disconnected
            client.close()
        else:
            self._answered.append(client)

    def _close_answered(self, *, but: int) -> None:
        """Close the connections whose client has closed too, which most have done by the next request.

        So most of them never reach the selector. `but` is how many of the latest are left for later.
        """
        while len(self._answered) > but:
            client = self._answered.popleft()
            try:
                gone = not client.recv(_LONGEST_DRAIN_BYTES, MSG_DONTWAIT)
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone:
                client.close()
            else:
                self._lingering.add(client)


def _speaks_soon(client: socket.socket) -> bool:
    if _has_spoken(client):
        return True
    prompt = select.poll()
    prompt.register(client, select.POLLIN)
    return bool(prompt.poll(_PROMPT_MILLISECONDS))


def _has_spoken(client: socket.socket) -> bool:
    try:
        client.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass  # reading the request will raise the same error
    return True
