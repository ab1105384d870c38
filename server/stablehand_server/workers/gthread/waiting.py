"""Connections of a gthread worker that wait for a request on the selector, where they cost no thread."""

from __future__ import annotations

import contextlib
import functools
import selectors
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.gthread.readable import has_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_server.gunicorn_internals.workers import TConn


class WaitingConnections:
    """Connections with the time (time.monotonic()) until which each may be silent.

    One that is here is owned by nobody. The thread that removes it owns it from then on: the removal is atomic.

    Attributes:
        until: the connections and their times.
    """

    def __init__(self, poller: selectors.BaseSelector, on_request: Callable[[TConn], None]) -> None:
        """Create it, empty.

        Args:
            poller: selects among the connections.
            on_request: gets each connection, which it then owns, when its request has arrived or its stream ended.
        """
        self.until: dict[TConn, float] = {}
        self._poller = poller
        self._on_request = on_request

    def __len__(self) -> int:
        return len(self.until)

    def __iter__(self) -> Iterator[TConn]:
        return iter(list(self.until))

    def add(self, connection: TConn, until: float) -> None:
        """Await the connection's next request."""
        self.until[connection] = until
        try:
            readable = functools.partial(self._on_readable, connection)
            self._poller.register(connection.sock, selectors.EVENT_READ, readable)
        except (OSError, ValueError, KeyError):  # its time was already over
            if self.until.pop(connection, None) is not None:
                connection.close()

    def shorten(self, until: float) -> None:
        """Let each be silent until then at most."""
        for connection, own in list(self.until.items()):
            if connection in self.until:
                self.until[connection] = min(own, until)

    def end_silent(self, now: float) -> None:
        """Close those that have been silent for too long."""
        for connection, until in list(self.until.items()):
            # While all threads serve, none selects: a request that has arrived meanwhile waits for one of them.
            if until <= now and not has_data(connection.sock) and self.until.pop(connection, None) is not None:
                unregister(self._poller, connection.sock)
                connection.close()

    def discard(self, connection: TConn) -> None:
        """Forget a connection, if it is here; it stays open, and selected."""
        self.until.pop(connection, None)

    def _on_readable(self, connection: TConn, client: Any) -> None:
        waits = self.until.pop(connection, None) is not None
        # Also what an exception has kept a thread from unregistering: it stays readable.
        unregister(self._poller, client)
        if waits:
            self._on_request(connection)


def is_registered(poller: selectors.BaseSelector, client: Any) -> bool:
    """Return whether the poller selects this socket."""
    try:
        return client in poller.get_map()
    except ValueError:  # closed
        return False


def unregister(poller: selectors.BaseSelector, client: Any) -> None:
    """Select this socket no more, if it was."""
    with contextlib.suppress(OSError, KeyError, ValueError):  # it was never registered
        poller.unregister(client)
