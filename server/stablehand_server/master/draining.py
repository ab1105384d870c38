"""SIGTERM without a failed request: requests are first routed elsewhere, and only then does the server stop.

Senders of requests learn with a delay that this server is about to stop: a load balancer from /readyz, kube-proxy from
the list of endpoints, a client from `Connection: close`. Until then a closed port would be an error for some of them.
So for --drain-seconds everything but readiness continues, and every response asks its client to reconnect.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from stablehand_server.master import lifecycle
from stablehand_server.master.arbiter import LiveArbiter
from stablehand_server.shared_memory import Cell, Server, State

# When the drain is over, the stop waits so long for a moment in which no connection waits to be accepted.
_EMPTY_BACKLOG_SECONDS = 1.0
_SHORTEST_PASS_SECONDS = 0.01
# By then each worker has seen its signal, and accepts no more.
_SECONDS_BEFORE_REFUSING = 1.0


class DrainingArbiter(LiveArbiter):
    """Keeps serving for a while after SIGTERM; workers that exit meanwhile are replaced; SIGINT and SIGQUIT end it."""

    def __init__(self, app: Any) -> None:
        self._drained_at: float | None = None  # on time.monotonic()'s clock, from SIGTERM on
        self._to_refuse: list[socket.socket] = []
        self._refuse_at = 0.0
        super().__init__(app)

    def handle_term(self) -> None:
        """SIGTERM: not ready from now on; the pass of the main loop that finds the stop due performs it."""
        if self._drained_at is not None:
            return
        now = time.monotonic()
        serves = any(lifecycle.serves(worker, now) for worker in self.WORKERS.values())
        seconds = self.cfg.drain_seconds if serves else 0
        self._drained_at = now + seconds
        self.slots.server[Server.STOPPING] = 1.0
        if seconds:
            self.log.info("Not ready any more, serving on for %d s (--drain-seconds)", seconds)

    def handle_hup(self) -> None:
        """SIGHUP: reload, unless the server is about to stop."""
        if self._drained_at is None:
            super().handle_hup()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals, but not beyond the end of the drain."""
        if self._drained_at is not None:
            timeout = max(_SHORTEST_PASS_SECONDS, min(timeout, self._drained_at - time.monotonic()))
        return super().wait_for_signals(timeout)

    def manage_workers(self) -> None:
        """Keep the workers going, and tell those that are ready to close each connection after its response.

        Raises:
            StopIteration: when the drain is over; gunicorn's main loop then stops gracefully.
        """
        super().manage_workers()
        if self._drained_at is None:
            return
        overdue = time.monotonic() - self._drained_at
        nobody_waits = not self.slots.server[
            Server.BACKLOG
        ]  # a connection that waits when the last worker exits is lost
        if overdue > _EMPTY_BACKLOG_SECONDS or (overdue >= 0 and nobody_waits):
            raise StopIteration
        for worker in self.WORKERS.values():
            if worker.ready:
                worker.assignment.record.cells[Cell.STATE] = State.RETIRING

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 (gunicorn's signature)
        """Stop, and soon refuse connections: while a worker has a listener open, they would wait for nothing."""
        # Only if no other process listens on the same sockets: no other master, and no process that passed them on.
        alone = self.reexec_pid == self.master_pid == 0
        own = [each for each in self.LISTENERS if each not in self.handed_over] if alone else []
        self._to_refuse = [each.sock.dup() for each in own]
        self._refuse_at = time.monotonic() + _SECONDS_BEFORE_REFUSING
        super().stop(graceful)
        self._refuse_connections()

    def reap_workers(self) -> None:
        """Reap every child that has ended; while the server stops, end those that take too long.

        gunicorn signals only once when it stops, when a booting worker may have no handler yet, and then waits for the
        whole --graceful-timeout.
        """
        if self._stopping:
            self.murder_workers()
            if time.monotonic() >= self._refuse_at:
                self._refuse_connections()
        super().reap_workers()

    def _refuse_connections(self) -> None:
        while self._to_refuse:
            with self._to_refuse.pop() as listener:
                # Unlike a close, this holds for the copies of every process.
                listener.shutdown(socket.SHUT_RDWR)
