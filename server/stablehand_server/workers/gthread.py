"""gunicorn's gthread: no thread waits for a silent client, none for a slow close, and the GIL's convoy is measured."""

from __future__ import annotations

import errno
import selectors
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.workers import gthread

from stablehand_server.workers.base import FIRST_REQUEST_SECONDS, LAG_TICK_SECONDS, MeasuredWorker
from stablehand_server.workers.lingering import LingeringCloses

if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future

    from gunicorn.config import Config


class ThreadWorker(MeasuredWorker, gthread.ThreadWorker):
    """A pool of threads for requests, and one loop for accepting and idle connections."""

    grows_in_place: ClassVar[frozenset[str]] = frozenset({"threads", "worker_connections"})
    _lingering: LingeringCloses  # from run() on, and so in all that its loop calls

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of threads."""
        return int(config.threads)

    def run(self) -> None:
        """Serve; the lag is measured by a thread of its own, which wants the GIL like the requests' threads do."""
        self._lingering = LingeringCloses(self.poller, self._forget_connection)
        threading.Thread(target=self._measure_lag, name="stablehand-lag", daemon=True).start()
        super().run()

    def grow(self, threads: int, worker_connections: int) -> None:
        """Let the pool start more threads, and the loop keep more connections."""
        more = threads - self.tpool._max_workers  # noqa: SLF001 (there is no public way to let a pool grow)
        self.tpool._max_workers = threads  # noqa: SLF001
        for _ in range(more):
            self.tpool.submit(int)  # a pool looks whether it needs a thread only when it is given something
        self.worker_connections = worker_connections
        self.max_keepalived = worker_connections - threads

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, and wait on the selector for its first request: gunicorn would wait in a thread."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED}:
                raise
            return
        self.nr_conns += 1
        connection = gthread.TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + FIRST_REQUEST_SECONDS
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(client, selectors.EVENT_READ, readable)

    def finish_request(self, connection: gthread.TConn, result: Future[Any]) -> None:
        """Keep the connection, as gunicorn does, or let it linger until the client has closed too."""
        failed = result.cancelled() or result.exception() is not None
        if failed or not result.result():
            self._lingering.add(connection.sock)
        else:
            super().finish_request(connection, result)

    def murder_pending(self) -> None:
        """Close what has waited long enough; gunicorn's loop calls this in every pass."""
        super().murder_pending()
        self._lingering.expire()

    def notify(self) -> None:
        """Beat, and publish the number of connections."""
        super().notify()
        self.note_connections(self.nr_conns)

    def _cap_keepalive(self, deadline: float) -> None:
        # gunicorn calls this once, when the worker begins to retire, with a deadline of two seconds. Keep-alive is a
        # promise: within its own limit a client may send its next request, which is then answered with a close.
        del deadline
        limit = time.monotonic() + self.linger_seconds()
        for connection in (*self.keepalived_conns, *self.pending_conns):
            connection.timeout = min(connection.timeout, limit)

    def _forget_connection(self) -> None:
        self.nr_conns -= 1

    def _measure_lag(self) -> None:
        while True:
            planned = time.monotonic() + LAG_TICK_SECONDS
            time.sleep(LAG_TICK_SECONDS)
            self.note_lag(time.monotonic() - planned)
