"""gunicorn's gthread, in which no thread blocks on a new or kept connection's request, or on another thread."""

from __future__ import annotations

import functools
import os
import select
import selectors
import signal
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from stablehand_server.config import remembered
from stablehand_server.gunicorn_internals.workers import TConn
from stablehand_server.gunicorn_internals.workers import ThreadWorker as GunicornThreadWorker
from stablehand_server.shared_memory import Cell, Overdue
from stablehand_server.workers.common.accepting import AcceptErrors
from stablehand_server.workers.common.base import FIRST_REQUEST_SECONDS, LAG_TICK_SECONDS, NAP_SECONDS
from stablehand_server.workers.common.given_up import is_given_up
from stablehand_server.workers.common.lingering import LingeringCloses
from stablehand_server.workers.common.own_listeners import left_behind
from stablehand_server.workers.common.wsgi import WSGIWorker
from stablehand_server.workers.gthread.leader_followers import LeaderFollowers
from stablehand_server.workers.gthread.overdue import OverdueRequests
from stablehand_server.workers.gthread.readable import has_buffered_request, has_data
from stablehand_server.workers.gthread.waiting import WaitingConnections, is_registered, unregister

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable

    from stablehand_server.gunicorn_internals.settings import Config

_LONGEST_WAIT_SECONDS = 1.0
_HANDOVER_SECONDS = 0.002  # for a connection that is moving from one place to the next, and counted in neither


class ThreadWorker(WSGIWorker, GunicornThreadWorker):
    """Threads that serve requests and, one at a time, wait for them; the main thread handles timing.

    gunicorn's loop accepts connections in the main thread, passes each request to a thread and gets the connection
    back: two wake-ups per request, for which threads wait for the GIL. Here the thread that finds a request serves it.
    When all threads serve, none accepts: new connections are left to the other workers.

    A connection is owned by one thread, or waits: in `_awaiting_first` or `_awaiting_next`.
    """

    changes_in_place: ClassVar[frozenset[str]] = frozenset({"threads", "worker_connections"})
    request_position: ClassVar[int] = 0
    _serves = False
    _accepting: bool  # gunicorn's own, which has no type there
    _in_hurry = False
    _interrupts = 0
    _ends_at_once = False
    _crew: LeaderFollowers  # from run() on, and so in all that its loop calls
    _lingering: LingeringCloses

    def first_request_seconds(self) -> float:
        """Return gunicorn's time, which waits in a thread, then as for a kept one, and checks once a second."""
        return FIRST_REQUEST_SECONDS + float(self.cfg.keepalive) + _LONGEST_WAIT_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._accept_errors = AcceptErrors(self.log)

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of threads."""
        return int(config.threads)

    def run(self) -> None:
        """Serve until told to retire; then answer what arrives on the open connections, and exit."""
        self._in_flight: dict[threading.Thread, TConn] = {}  # what a thread owns
        self._ready: deque[TConn] = deque()  # whose request waits for a thread
        self._awaiting_first = WaitingConnections(self.poller, self._ready.append)
        self._awaiting_next = WaitingConnections(self.poller, self._ready.append)
        self.keepalived_conns = self._awaiting_next.until  # by their number gunicorn decides whether to keep one more
        self._lingering = LingeringCloses(self.poller)
        remembered.remember(self.cfg)
        self._overdue = OverdueRequests(float(self.cfg.request_timeout), self.log)
        self._threads_given_up = 0
        if self.cfg.request_timeout:
            self.handle_request = self._overdue.timed(self.handle_request)  # type: ignore[method-assign]
            self.handle_http2_request = self._overdue.timed(self.handle_http2_request)  # type: ignore[method-assign]
        if self.cfg.proxy_protocol != "off":
            self.handle_request = _remembering_the_client(self.handle_request)  # type: ignore[method-assign]
        self._next_lag_tick = time.monotonic() + LAG_TICK_SECONDS
        self._look_at_crew_at: float | None = None
        for listener in self.sockets:
            listener.setblocking(False)
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self._crew = LeaderFollowers(
            self.cfg.threads,
            self._next_ready,
            self._serve,
            recover=self._recover,
            call_monitor=self._wake_main_thread,
            log=self.log,
        )
        self._alarms = select.poll()
        self._alarms.register(self.PIPE[0], select.POLLIN)
        self._crew.prepare()  # before the first heartbeat: a worker without a thread serves nothing, so it is not ready
        self.notify()  # before anything is accepted: a request that keeps the GIL from then on is detected
        self._crew.start()
        self._serves = True
        try:
            while self.alive and self.is_parent_alive():
                self._keep_time()
        except BaseException:  # the app's own signal handler: in-flight requests are answered nevertheless
            if not self._ends_at_once:
                self._retire()
            raise
        self._retire()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT and SIGINT: answer the requests that threads have, as gunicorn's pool does, and exit.

        Only a second SIGINT ends the worker at once: it comes from a user at a terminal, who does not want to wait.
        """
        if not self._serves:
            super().handle_quit(sig, frame)
        self._interrupts += sig == signal.SIGINT
        if not self._in_hurry:
            self._in_hurry = True
            self.alive = False
            self.cfg.worker_int(self)
        elif self._interrupts > 1:
            self._ends_at_once = True
            sys.exit(0)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """SIGABRT: call the hook worker_abort, answer in-flight requests, as gunicorn's pool does, and exit.

        At once if the master has given this worker up, and kills it a second later: the exit's hooks come first.
        """
        self._ends_at_once = self._ends_at_once or self.aborted or is_given_up(self)
        self._in_hurry = True
        super().handle_abort(sig, frame)

    def resize(self, threads: int, worker_connections: int) -> None:
        """Allow more or fewer threads and connections."""
        self.worker_connections = worker_connections
        self.max_keepalived = worker_connections - threads
        self._crew.resize(threads + self._threads_given_up)
        self._wake_leader()
        self._look_at_crew_at = time.monotonic()  # a request may hold the leadership, and has not been watched so far

    # The main thread --------------------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Sleep until something is due, at most one of the lag's ticks long, and do it."""
        wake_at = min(self._next_lag_tick, self._look_at_crew_at or self._next_lag_tick)
        if self._cells[Cell.ON_TRIAL]:  # follow within milliseconds once the guard has ended that
            wake_at = min(wake_at, time.monotonic() + NAP_SECONDS)
        called = bool(self._alarms.poll(max(0.0, wake_at - time.monotonic()) * 1000.0))
        now = time.monotonic()
        self._resize_if_wanted()
        if called:
            os.read(self.PIPE[0], 4096)
        if called or self._look_at_crew_at is not None:
            pause = self._crew.watch(now, 0.0 if called else now - wake_at)
            self._look_at_crew_at = None if pause is None else now + pause
        if now >= self._next_lag_tick:
            self.note_lag(now - self._next_lag_tick)
            self._next_lag_tick = now + LAG_TICK_SECONDS
            self.notify()
            self.note_connections(self._count())
            self._awaiting_first.end_silent(now)
            self._awaiting_next.end_silent(now)
            self._lingering.expire()
            self._replace_stuck_threads(now)
            if self._crew.replace_ended() or self._crew.make_up() or self._crew.replace_detained(now):
                self._look_at_crew_at = now

    def _wake_main_thread(self) -> None:
        os.write(self.PIPE[1], b"\0")

    def _replace_stuck_threads(self, now: float) -> None:
        """Have this worker replaced once a request exceeds its limit, and meanwhile continue without its thread."""
        stuck = self._overdue.look(now)
        if stuck and not self._cells[Cell.OVERDUE]:
            self._cells[Cell.OVERDUE] = float(Overdue.SOME)
        if stuck > self._threads_given_up:
            self._threads_given_up = stuck
            self._crew.resize(self.cfg.threads + stuck)
            self._look_at_crew_at = now

    def _retire(self) -> None:
        """Stop accepting; answer what arrives on the open connections, the last time with a close."""
        if self._crew.is_forked_child:
            return  # the connections are the worker's
        self.alive = False
        started = time.monotonic()
        last_call = started + self.linger_seconds()
        self._awaiting_first.shorten(last_call)
        self._awaiting_next.shorten(last_call)
        self._awaiting_next.end_silent(started)
        for listener, client, address in left_behind(self.cfg, self.sockets):
            self._take(listener, client, address)
        self._wake_leader()
        while self._has_work() and self.may_finish():
            self._keep_time()
            self._overdue.hang_up(time.monotonic())
            if self._only_overdue_are_left() and (self._in_hurry or self._count() == len(self._in_flight)):
                break
        else:
            if self._in_flight:
                self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
        self._crew.stop()
        self._wake_leader()
        self._crew.join()
        for connection in (*self._awaiting_first, *self._awaiting_next):
            connection.close()
        if self._only_overdue_are_left():
            # The master ends this worker as it ends any that takes too long: SIGABRT, worker_abort, the reason.
            self._cells[Cell.OVERDUE] = float(Overdue.ONLY)
            while self.is_parent_alive():
                time.sleep(_LONGEST_WAIT_SECONDS)

    def _only_overdue_are_left(self) -> bool:
        return self._overdue.only_these_are_left(self._in_flight.values(), time.monotonic())

    def _has_work(self) -> bool:
        if self._in_hurry:
            return bool(self._in_flight or self._ready)
        if not self._count():
            time.sleep(_HANDOVER_SECONDS)
        return self._count() > 0

    def _count(self) -> int:
        waiting = len(self._awaiting_first) + len(self._awaiting_next) + len(self._ready)
        return waiting + len(self._in_flight) + len(self._lingering)

    def _wake_leader(self) -> None:
        self.method_queue.defer(lambda: None)

    def become_apps_child(self) -> None:
        """Leave the requests to the worker, in a process that one of them has forked."""
        super().become_apps_child()
        if self._serves:
            self._crew.is_forked_child = True

    def _recover(self, thread: threading.Thread, led: bool) -> None:  # noqa: FBT001 (a callback)
        """Close the connection that a thread had in hand when an exception ended it, and what it has left half done.

        Its client sees a reset, as under gunicorn. Whatever else can be lost is closed with its last reference, or by
        the next leader that finds it readable.
        """
        connection = self._in_flight.pop(thread, None)
        if connection is not None and connection not in self._ready and connection.sock.fileno() >= 0:
            self._drop(connection)
        if not led:
            return
        if self._accepting != all(is_registered(self.poller, listener) for listener in self.sockets):
            for listener in self.sockets:
                unregister(self.poller, listener)
            self._accepting = False
        for connection in (*self._awaiting_first, *self._awaiting_next):
            # In this order: another thread has it in hand until it is registered.
            if connection not in self._in_flight.values() and not is_registered(self.poller, connection.sock):
                self._drop(connection)

    def _drop(self, connection: TConn) -> None:
        self._awaiting_first.discard(connection)
        self._awaiting_next.discard(connection)
        unregister(self.poller, connection.sock)
        connection.close()

    # The leading thread -----------------------------------------------------------------------------------------------

    def _next_ready(self, thread: threading.Thread) -> TConn | None:
        """Return a connection that has a request, or None after a while."""
        if not self._ready:
            paused = self._accept_errors.pause()  # 0 nearly always
            self.set_accept_enabled(self.alive and paused <= 0.0 and self._count() < self.worker_connections)
            for key, _ in self.poller.select(paused if paused > 0.0 else _LONGEST_WAIT_SECONDS):
                key.data(key.fileobj)
            if not self._ready:
                return None
        connection = self._ready[0]
        self._in_flight[thread] = connection  # first, so that it is always counted
        self._ready.popleft()
        return connection

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; its first request is awaited on the selector, while gunicorn waits in a thread."""
        if not self.alive:
            return  # told to retire in the meantime: the connection stays in the queue, for another worker
        try:
            client, address = listener.accept()
        except OSError as error:
            self._accept_errors.note(error)
            return
        self._take(listener, client, address)

    def _take(self, listener: socket.socket, client: socket.socket, address: Any) -> None:
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.data_ready = True  # whenever a thread gets it
        if has_data(connection.sock):
            self._ready.append(connection)
        else:
            self._awaiting_first.add(connection, self._deadline(self.first_request_seconds()))

    def _deadline(self, patience: float) -> float:
        return time.monotonic() + (patience if self.alive else min(patience, self.linger_seconds()))

    # Any thread -------------------------------------------------------------------------------------------------------

    def _serve(self, thread: threading.Thread, connection: TConn) -> None:
        try:
            keep = self.handle(connection)
            while keep and has_buffered_request(connection) and not self._crew.is_forked_child:
                keep = self.handle(connection)
        except BaseException as error:
            if self._crew.is_forked_child:
                raise
            # A SystemExit of the app: the client gets an answer, the thread stays.
            self.handle_error(None, connection.sock, connection.client, error)
            keep = False
        if self._crew.is_forked_child:
            return  # the request has forked, and this is its child: the connection is the worker's
        # Into the next place before out of this one, so that it is always counted.
        if keep:
            self._awaiting_next.add(connection, self._deadline(self.cfg.keepalive))
        else:
            self._lingering.add(connection.sock)
        self._in_flight.pop(thread, None)


def _remembering_the_client(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap gunicorn's method so that later requests have the client that a proxy named before the first one."""

    @functools.wraps(handle)
    def handle_remembering(request: Any, connection: TConn) -> Any:
        named = request.proxy_protocol_info or getattr(connection, "proxy_protocol_info", None)
        request.proxy_protocol_info = connection.proxy_protocol_info = named
        return handle(request, connection)

    return handle_remembering
