"""gunicorn's asgi worker, with a connection limit and support for WSGI apps; retires without a failed request."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from stablehand_server.gunicorn_internals.asgi import ASGIWorker as GunicornASGIWorker
from stablehand_server.gunicorn_internals.asgi import LifespanManager, LifespanStartupFailed
from stablehand_server.gunicorn_internals.master import Arbiter
from stablehand_server.measure.app_interface import Interface, interface_of, interface_of_hidden, single_callable
from stablehand_server.measure.asgi import InstrumentedASGIApp
from stablehand_server.measure.connection_lifetimes import ConnectionLifetimes, end_of
from stablehand_server.shared_memory import Cell, Overdue
from stablehand_server.workers.asgi.acceptor import Acceptor
from stablehand_server.workers.asgi.bridge import Bridge
from stablehand_server.workers.asgi.overdue_calls import OverdueCalls
from stablehand_server.workers.common.app_forks import disconnect
from stablehand_server.workers.common.base import LAG_TICK_SECONDS, LONGEST_SILENCE_SECONDS, MeasuredWorker
from stablehand_server.workers.common.given_up import is_given_up
from stablehand_server.workers.common.loop_in_child import LoopInChild

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config
    from stablehand_server.measure.recorder import UnlockedRecorder
    from stablehand_server.workers.asgi.protocol import Connection

_SECONDS_BETWEEN_BEATS = 1.0
_TAKING_LEAVE_SECONDS = 1.0  # less than the master waits after the grace period


class ASGIWorker(MeasuredWorker, GunicornASGIWorker):
    """One event loop: an ASGI app runs in it, a WSGI app in a pool of threads beside it."""

    changes_in_place: ClassVar[frozenset[str]] = frozenset({"threads", "worker_connections"})
    has_loop: ClassVar[bool] = True

    # gunicorn's own attributes, which have no types there
    asgi: Any
    max_requests: int
    nr_conns: int
    worker_connections: int
    _quick_shutdown: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.retiring = False
        self._at_its_end = False
        self._aborts = False
        self._drains = False
        self._to_give_up = 0
        super().__init__(*args, **kwargs)
        self._lifetimes = ConnectionLifetimes.of(self.cfg.connection_lifetime)
        self.connections: set[Connection] = set()
        self._acceptor = Acceptor(self)
        self.bridge: Bridge | None = None
        self._overdue: OverdueCalls | None = None  # of the bridge
        self._loop_in_child: LoopInChild | None = None
        # What an HTTP/1 connection calls, and how it measures that; a WSGI app is measured behind its bridge. What
        # takes a connection over calls an app that measures itself. `asgi` and `wsgi` are the user's app as it is.
        self.http1_app: Any = None
        self.measured_app: Any = None
        self.http1_recorder: UnlockedRecorder | None = None
        self.context = contextvars.Context()  # of each request's task, and of whatever it starts with
        # gunicorn's connections close when they see it reached, announced or not: they must not.
        self.request_limit, self.max_requests = self.max_requests, sys.maxsize

    @classmethod
    def check_config(cls, cfg: Config, log: Any) -> None:
        """Accept threads: a WSGI app uses them."""

    def first_request_seconds(self) -> float:
        """Return practically no limit, as in gunicorn, unless so many connections are open that others may need one."""
        if 2 * len(self.connections) > self.worker_connections:
            return super().first_request_seconds()
        return LONGEST_SILENCE_SECONDS

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of connections; that an app uses threads is known only once it is loaded."""
        return int(config.worker_connections)

    @property
    def alive(self) -> bool:
        """Whether connections continue: see `Connection`."""
        return not self._at_its_end

    @alive.setter
    def alive(self, alive: bool) -> None:
        if not alive and not self.retiring:
            self.retiring = True
            self._acceptor.stop()

    def handle_quit_signal(self) -> None:
        """SIGQUIT and SIGINT: answer the requests that a WSGI app's threads have, as under gthread, and exit."""
        retires, self._quick_shutdown = self.retiring, True
        if not retires:
            self.alive = False
            self.cfg.worker_int(self)

    def handle_abort_signal(self) -> None:
        """SIGABRT: call the hook worker_abort, answer the requests that a WSGI app's threads have, and end.

        At once if the master has given this worker up, and kills it a second later: the exit's hooks come first.
        """
        if self.bridge is None or self._aborts or is_given_up(self):
            super().handle_abort_signal()
        self._aborts = self._quick_shutdown = True
        self.alive = False
        self.cfg.worker_abort(self)

    def is_last_response(self) -> bool:
        """Return whether the response that starts now is its connection's last; start to retire after max_requests."""
        if self._to_give_up:
            self._to_give_up -= 1
            return True
        if self.nr + 1 >= self.request_limit and not self.retiring:
            self.log.info("Autorestarting worker after current request.")
            self._cells[Cell.REACHED_MAX_REQUESTS] = 1.0
            self.alive = False
        return self.is_leaving

    def connection_end(self) -> float:
        """Return when a connection of now should end, on the monotonic clock."""
        return end_of(self._lifetimes)

    @property
    def is_leaving(self) -> bool:
        """Whether connections should go elsewhere, although they may still be served."""
        return self.retiring or self._drains

    def drain(self) -> None:
        """Make every response from now on its connection's last."""
        self._drains = True

    def become_apps_child(self) -> None:
        """Let the loop go on without the worker's connections, until the request that has forked is done."""
        super().become_apps_child()
        if self.booted:
            transports = (each.transport for each in self.connections if each.transport is not None)
            sockets = (transport.get_extra_info("socket") for transport in transports)
            disconnect(each.fileno() for each in sockets if each is not None)
            self._loop_in_child = LoopInChild(self.loop, float(self.cfg.graceful_timeout))
            self.alive = False

    # Loading ----------------------------------------------------------------------------------------------------------

    def load_wsgi(self) -> None:
        """Load the app, and put the bridge before a WSGI app; hooks find the app where the other classes have it."""
        super().load_wsgi()
        if interface_of_hidden(self.asgi) is Interface.WSGI:
            self.wsgi = self.asgi
            self.bridge = Bridge(self.measured_wsgi(), self)
            self._overdue = OverdueCalls(self.bridge, float(self.cfg.request_timeout), self.log)
            self._publish_slots()

    def _take_up_app(self) -> None:
        """Set up the app to serve: `asgi` as the boot's hooks have left it."""
        if self.bridge is not None:
            self.bridge.prepare()
            self.http1_app = self.measured_app = self.bridge
            return
        self.http1_app = single_callable(self.asgi) if interface_of(self.asgi) is Interface.ASGI2 else self.asgi
        self.http1_recorder = self.unlocked_recorder()
        self.measured_app = InstrumentedASGIApp(self.http1_app, self.http1_recorder)

    def resize(self, threads: int, worker_connections: int) -> None:
        """Take more or fewer connections, and give the bridge more or fewer threads."""
        self.worker_connections = worker_connections
        if self.bridge is not None:
            self.bridge.resize(threads)
        self._acceptor.go_on()

    def give_up(self, connections: int) -> None:
        """Make so many of the next responses their connection's last."""
        self._to_give_up = connections

    def notify(self) -> None:
        """Send a heartbeat, and publish what may have changed."""
        super().notify()
        self._publish_slots()

    def _publish_slots(self) -> None:
        serves = self.worker_connections if self.bridge is None else min(self.cfg.threads, self.worker_connections)
        self._cells[Cell.SLOTS] = float(serves)

    # Serving ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to retire; then give every connection its last request."""
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            if self.nr >= self.request_limit:
                self.max_requests = self.request_limit  # for the record of why it ended
            if not self.is_apps_child:  # there, the tasks and connections are the worker's
                self._cleanup()
                if self.bridge is not None:
                    self.bridge.end()
        if self._aborts:
            sys.exit(1)

    async def _serve(self) -> None:
        self._take_up_app()
        self.context = contextvars.copy_context()
        await self._start_lifespan()
        self._acceptor.begin()
        await self._tick_until(lambda: self.retiring)
        self._acceptor.end()
        await self._retire()
        if self.lifespan is not None and not self._quick_shutdown:
            try:
                await self.lifespan.shutdown()
            except Exception:  # the app's own code: the worker ends all the same
                self.log.exception("ASGI lifespan shutdown error")

    async def _start_lifespan(self) -> None:
        if self.cfg.asgi_lifespan == "off" or self.bridge is not None:
            return
        lifespan = LifespanManager(self.http1_app, self.log, self.state)
        try:
            await lifespan.startup()
        except Exception as error:  # the app's own code
            if self.cfg.asgi_lifespan == "on" or isinstance(error, LifespanStartupFailed):
                self.assignment.record.failure = str(error)
                self.log.error("ASGI lifespan startup failed: %s", error)  # noqa: TRY400 (the message is what helps)
                raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from error
            self.log.debug("ASGI lifespan not supported by app: %s", error)
            return
        self.lifespan = lifespan

    async def _tick_until(self, done: Any) -> None:
        beat_at = 0.0
        while self.is_apps_child or not done():
            if self.loop.time() >= beat_at:
                beat_at = self.loop.time() + _SECONDS_BETWEEN_BEATS
                self.notify()
                if self.ppid != os.getppid():
                    self.log.info("Parent changed, shutting down: %s", self)
                    self.alive = False
            planned = self.loop.time() + LAG_TICK_SECONDS
            for seconds in self.naps():
                await asyncio.sleep(seconds)
            if self._loop_in_child is not None:
                await self._loop_in_child.end()
            self.note_lag(self.loop.time() - planned)
            self.note_connections(self.nr_conns)
            now = self.loop.time()
            for connection in tuple(self.connections):
                connection.look(now)
            if self.bridge is not None:
                self.bridge.replace_ended()
            if self._overdue is not None and self._overdue.look(time.monotonic()) and not self._cells[Cell.OVERDUE]:
                self._cells[Cell.OVERDUE] = float(Overdue.SOME)

    async def _retire(self) -> None:
        started = self.loop.time()
        last_call = started + self.linger_seconds()

        def ended() -> bool:
            now = self.loop.time()
            if now >= last_call:
                for connection in tuple(self.connections):
                    connection.close_if_idle()
            if self._overdue is not None:
                self._overdue.hang_up(time.monotonic())
            return not self.may_finish() or not self._has_work() or self._only_overdue_are_left()

        await self._tick_until(ended)
        if self._only_overdue_are_left() and not self._quick_shutdown:
            # The master ends this worker as it ends any that takes too long: SIGABRT, worker_abort, the reason.
            self._cells[Cell.OVERDUE] = float(Overdue.ONLY)
            await self._tick_until(lambda: self._quick_shutdown or self.ppid != os.getppid())
        elif self._has_work() and not self._quick_shutdown:
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
            await self._take_leave()
        self._at_its_end = True

    async def _take_leave(self) -> None:
        """Close what is left as its protocol specifies, and give the app a short time to finish."""
        for connection in tuple(self.connections):
            connection.take_leave()
        until = self.loop.time() + _TAKING_LEAVE_SECONDS
        await self._tick_until(lambda: self._quick_shutdown or self.loop.time() >= until or not self._has_work())

    def _only_overdue_are_left(self) -> bool:
        if self._overdue is None or self.connections or self._acceptor.shakes_hands:
            return False
        return self._overdue.only_these_are_left(time.monotonic())

    def _has_work(self) -> bool:
        if self._quick_shutdown:
            return self.bridge is not None and (bool(self.bridge.calls) or any(c.has_unsent for c in self.connections))
        if self.connections or self._acceptor.shakes_hands:
            return True
        return self.bridge is not None and bool(self.bridge.calls)

    # Connections ------------------------------------------------------------------------------------------------------

    def connection_ended(self, connection: Connection) -> None:
        """Forget a connection, and accept another in its place."""
        self.connections.discard(connection)
        self._acceptor.go_on()

    def thread_freed(self) -> None:
        """Accept another connection, now that a WSGI app's thread is free."""
        self._acceptor.go_on()
