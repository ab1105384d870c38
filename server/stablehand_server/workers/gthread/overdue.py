"""Requests that have been inside the app for longer than --request-timeout, which is off by default.

gunicorn's --timeout ends a sync worker whose request takes too long. It ends a worker with threads only if its main
loop is blocked, so a stuck request keeps its thread forever; and a long poll, an event stream or a websocket may take
any length of time. Only the app's operator knows which of the two a long request is.

A thread cannot be ended, only its process can: so the worker is replaced first, and then ended with what is stuck.
"""

from __future__ import annotations

import functools
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_SECONDS_AFTER_HANGING_UP = 1.0  # for a thread that waits for its client to notice that it has disconnected


class _Request:
    __slots__ = ("hung_up_at", "in_words", "noticed", "since")

    def __init__(self, in_words: str) -> None:
        self.in_words = in_words
        self.since = time.monotonic()
        self.noticed = False
        self.hung_up_at: float | None = None


class OverdueRequests:
    """Finds them among the connections (gunicorn's TConn); `limit` is in seconds, and 0 switches it off."""

    def __init__(self, limit: float, log: Any) -> None:
        self._limit = limit
        self._log = log
        self._inside: dict[Any, _Request] = {}

    def timed(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return gunicorn's method that passes a connection's request to the app, with its start recorded."""

        @functools.wraps(handle)
        def handle_timed(request: Any, connection: Any, *more: Any) -> Any:
            self._inside[connection] = _Request(f"{request.method} {request.uri}")
            try:
                return handle(request, connection, *more)
            finally:
                self._inside.pop(connection, None)

        return handle_timed

    def look(self, now: float) -> int:
        """Return how many requests take too long; each is logged once."""
        overdue = [each for _, each in self._overdue(now)]
        for each in overdue:
            if not each.noticed:
                each.noticed = True
                self._log.warning(
                    "Request %s has taken more than %.0f s (--request-timeout): another worker takes this one's place",
                    each.in_words,
                    self._limit,
                )
        return len(overdue)

    def hang_up(self, now: float) -> None:
        """End the connections of those that take too long, which frees the threads that wait for their clients."""
        for connection, request in self._overdue(now):
            if request.hung_up_at is None:
                request.hung_up_at = now
                self._log.warning("Request %s is ended after %.0f s", request.in_words, now - request.since)
                _end(connection.sock)

    def only_these_are_left(self, in_flight: Collection[Any], now: float) -> bool:
        """Return whether all in-flight requests, at least one, take too long though their clients are disconnected."""
        left = list(in_flight)
        return bool(left) and all(self._is_stuck(each, now) for each in left)

    def _is_stuck(self, connection: Any, now: float) -> bool:
        request = self._inside.get(connection)
        return bool(request and request.hung_up_at and now - request.hung_up_at >= _SECONDS_AFTER_HANGING_UP)

    def _overdue(self, now: float) -> list[tuple[Any, _Request]]:
        return [each for each in list(self._inside.items()) if now - each[1].since > self._limit]


def _end(client: socket.socket) -> None:
    try:
        # Not ssl.SSLSocket's own, which drops its TLS state while another thread uses it.
        socket.socket.shutdown(client, socket.SHUT_RDWR)
    except OSError:
        return  # the client has already disconnected
