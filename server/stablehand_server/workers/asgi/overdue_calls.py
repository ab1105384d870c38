"""Calls of a WSGI app that have been inside it for longer than --request-timeout, which is off by default.

As under gthread: a thread cannot be ended, only its process can. So the worker is replaced first; then the connections
of the stuck calls are closed, and the process is ended with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stablehand_server.workers.asgi.bridge import Bridge, Call

_SECONDS_AFTER_HANGING_UP = 1.0  # for a thread that waits for its client to notice that it has disconnected


class OverdueCalls:
    """Finds them among the bridge's calls; `limit` is in seconds, and 0 switches it off."""

    def __init__(self, bridge: Bridge, limit: float, log: Any) -> None:
        self._bridge = bridge
        self._limit = limit
        self._log = log
        self._noticed: set[Call] = set()
        self._hung_up: dict[Call, float] = {}

    def look(self, now: float) -> int:
        """Return how many calls take too long; each is logged once, and another thread replaces its thread.

        `now`, here and elsewhere, is on time.monotonic()'s clock.
        """
        overdue = self._overdue(now)
        fresh = [call for call in overdue if call not in self._noticed]
        self._noticed = set(overdue)
        for call in fresh:
            self._log.warning(
                "Request %s has taken more than %.0f s (--request-timeout): another worker takes this one's place",
                _in_words(call),
                self._limit,
            )
        if fresh:
            self._bridge.do_without(len(overdue))
        return len(overdue)

    def hang_up(self, now: float) -> None:
        """End the connections of those that take too long, which frees the threads that wait for their clients."""
        overdue = self._overdue(now)
        self._hung_up = {call: at for call, at in self._hung_up.items() if call in self._bridge.calls}
        for call in overdue:
            if call not in self._hung_up:
                self._hung_up[call] = now
                self._log.warning("Request %s is ended after %.0f s", _in_words(call), now - (call.began or now))
                call.hang_up()

    def only_these_are_left(self, now: float) -> bool:
        """Return whether all calls, at least one, take too long although their clients are disconnected."""
        calls = self._bridge.calls
        return bool(calls) and all(now - self._hung_up.get(call, now) >= _SECONDS_AFTER_HANGING_UP for call in calls)

    def _overdue(self, now: float) -> list[Call]:
        if not self._limit:
            return []
        return [call for call in self._bridge.calls if call.began is not None and now - call.began > self._limit]


def _in_words(call: Call) -> str:
    request = call.request
    return "that has just come" if request is None else f"{request.method} {request.uri}"
