"""Accepts connections into the event loop, up to a limit.

asyncio's own server has no limit, takes all waiting connections at once, before other workers can, and reduces the
shared listener's backlog.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.sockets import ssl_context
from stablehand_server.workers.asgi.protocol import Connection
from stablehand_server.workers.common.accepting import PAUSE_SECONDS, AcceptErrors
from stablehand_server.workers.common.own_listeners import left_behind

if TYPE_CHECKING:
    import ssl

    from stablehand_server.workers.asgi.worker import ASGIWorker

_ACCEPTED_AT_ONCE = 16  # if there are no other workers that could take them


class Acceptor:
    """For one worker, whose `connections` count against the limit as soon as they are accepted."""

    def __init__(self, worker: ASGIWorker) -> None:
        self._worker = worker
        self._handshakes: set[Any] = set()
        self._listening: set[Any] = set()
        self._errors = AcceptErrors(worker.log)
        self._tls: ssl.SSLContext | None = None
        self._make_transport: Any = None

    @property
    def shakes_hands(self) -> bool:
        """Whether there are connections in transit that are not counted anywhere else."""
        return bool(self._handshakes)

    def begin(self) -> None:
        """Start to accept."""
        worker = self._worker
        self._tls = ssl_context(worker.cfg) if worker.cfg.is_ssl else None
        if self._tls is None:
            # What asyncio's own server creates for a connection, without a task for each, which only a handshake needs.
            # It has no public name, and uvloop has none like it.
            self._make_transport = getattr(worker.loop, "_make_socket_transport", None)
        for listener in worker.sockets:
            listener.setblocking(False)
        self.go_on()

    def go_on(self) -> None:
        """Accept again, if the limit allows."""
        worker = self._worker
        if worker.retiring or self._is_full() or worker.loop.is_closed():
            return
        for listener in worker.sockets:
            if listener not in self._listening:
                self._listening.add(listener)
                worker.context.run(worker.loop.add_reader, listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Stop accepting for now."""
        for listener in self._listening:
            self._worker.loop.remove_reader(listener.fileno())
        self._listening.clear()

    def end(self) -> None:
        """Stop accepting, except for what waits in queues from which no other worker accepts."""
        self.stop()
        for listener, client, address in left_behind(self._worker.cfg, self._worker.sockets):
            self._take(listener, client, address)

    def _is_full(self) -> bool:
        worker = self._worker
        if worker.bridge is not None and worker.bridge.is_full and worker.cfg.workers > 1:
            return True  # another worker may have a free thread
        return len(worker.connections) + len(self._handshakes) >= worker.worker_connections

    def _accept(self, listener: Any) -> None:
        worker = self._worker
        for _ in range(1 if worker.cfg.workers > 1 else _ACCEPTED_AT_ONCE):
            if self._is_full():
                self.stop()
                return
            try:
                client, address = listener.accept()
            except OSError as error:
                self._errors.note(error)
                if self._errors.pause():
                    self.stop()
                    worker.loop.call_later(PAUSE_SECONDS, self.go_on)
                return
            self._take(listener, client, address)

    def _take(self, listener: Any, client: Any, address: Any) -> None:
        worker = self._worker
        accepted = (address, listener.getsockname())
        if self._make_transport is None:
            self._handshakes.add(worker.loop.create_task(self._connect(client, accepted)))
            return
        client.setblocking(False)
        connection = Connection(worker, accepted)
        worker.connections.add(connection)  # at once: it counts against the limit
        self._make_transport(client, connection, extra={"peername": address})

    async def _connect(self, client: Any, accepted: tuple[Any, Any]) -> None:
        worker = self._worker
        try:
            await worker.loop.connect_accepted_socket(lambda: Connection(worker, accepted), client, ssl=self._tls)
        except OSError as error:  # also after a failed handshake
            worker.log.debug("A connection ended before its first request: %s", error)
            client.close()
        finally:
            self._handshakes.discard(asyncio.current_task())
            self.go_on()
