"""gunicorn's gevent worker: retires at once, keeps its promises to idle connections, and measures its hub's lag."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey, socket
from gevent.pool import Group, Pool
from gevent.server import StreamServer

from stablehand_server.gunicorn_internals.gevent import GeventWorker as GunicornGeventWorker
from stablehand_server.gunicorn_internals.sockets import ssl_context
from stablehand_server.workers.common.green import GreenWorker
from stablehand_server.workers.common.own_listeners import left_behind

if TYPE_CHECKING:
    from collections.abc import Callable


class _Pool(Pool):
    """A pool that changes its size: with too many greenlets, it gives their places to nobody when they end."""

    size: Any  # gevent's own attributes
    _semaphore: Any
    _too_many = 0

    def resize(self, size: int) -> None:
        """Have another size; no greenlet is ended."""
        for _ in range(size - self.size):
            self._make_room()
        for _ in range(self.size - size):
            if not self._semaphore.acquire(blocking=False):
                self._too_many += 1
        self.size = size

    def _discard(self, greenlet: Any) -> None:
        Group._discard(self, greenlet)  # type: ignore[attr-defined] # noqa: SLF001 (gevent's own pool does the same, and then makes room)
        self._make_room()

    def _make_room(self) -> None:
        if self._too_many:
            self._too_many -= 1
        else:
            self._semaphore.release()


class GeventWorker(GreenWorker, GunicornGeventWorker):
    """A greenlet for each connection."""

    _servers: tuple[Any, ...] = ()  # of gevent's, one for each listener
    _tls: Any = None

    def patch(self) -> None:
        """Patch the standard library, and note whether the app wants to do so itself."""
        self.monkey_patches.before_own("gevent")
        super().patch()
        self.monkey_patches.watch(monkey, "patch_all")

    def start_accepting(self) -> None:
        """Start a gevent server for each listener."""
        self._tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        for listener in self.sockets:
            listener.setblocking(True)  # only gevent's own flag: the descriptor itself stays non-blocking
            # Asked for now: when the worker retires, the listener is closed before the last requests are served.
            handle = partial(self.serve, listener, listener.getsockname())
            server = StreamServer(listener, handle=handle, spawn=_Pool(self.worker_connections))
            if self.cfg.workers > 1:
                server.max_accept = 1  # leave some connections to the other workers
            server.start()
            self._servers = (*self._servers, server)

    def become_apps_child(self) -> None:
        """Leave what comes to the worker; gevent makes itself a new epoll."""
        super().become_apps_child()
        for server in self._servers:
            server.stop_accepting()

    def stop_accepting(self) -> None:
        """Close the listeners."""
        if self.is_apps_child:
            return
        for server, listener in zip(self._servers, self.sockets, strict=True):
            for _, client, address in left_behind(self.cfg, [listener]):
                server.pool.spawn(self.serve, listener, listener.getsockname(), client, address)
            server.close()

    def count_accepted(self) -> int:
        """Return how many greenlets there are."""
        return sum(len(server.pool) for server in self._servers)

    def abandon_connections(self) -> None:
        """Kill the greenlets."""
        for server in self._servers:
            server.pool.kill(block=True, timeout=1)

    def resize(self, threads: int, worker_connections: int) -> None:
        """Let each listener's pool have more or fewer greenlets."""
        del threads
        for server in self._servers:
            server.pool.resize(worker_connections)
        self.worker_connections = worker_connections

    def pause(self, seconds: float) -> None:
        """Sleep as a greenlet."""
        gevent.sleep(seconds)

    def let_others_run(self) -> None:
        """Wait for a timer: `gevent.sleep(0)` comes back up to fifty times before the hub looks at a socket."""
        hub = gevent.get_hub()
        timer = hub.loop.timer(0.0)
        try:
            hub.wait(timer)
        finally:
            timer.close()

    def wait_until_readable(self, fileno: int, seconds: float) -> None:
        """Wait as a greenlet."""
        socket.wait_read(fileno, timeout=seconds, timeout_exc=TimeoutError())

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Spawn a greenlet outside of the pools."""
        gevent.spawn(function, *arguments)

    def secured(self, client: Any) -> Any:
        """Return gevent's own TLS socket."""
        return self._tls.wrap_socket(client, server_side=True)
