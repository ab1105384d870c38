"""What the app has left unread of a request's body, when the connection is to serve another request.

A client that sends a body that the app does not read is told whether its connection stays open, usually before all of
the body has arrived. So the rest is discarded as it arrives; where that might be too much, the response announces that
the connection closes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import LengthReader, NoMoreData

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_server.workers.common.watched_client import WatchedClient

# More than this is not discarded to keep a connection: a new one costs the client less.
_LONGEST_KEPT_BYTES = 128 << 20
_LONGEST_CHUNKED_SECONDS = 60.0  # a chunked body may have no end
_READ_BYTES = 64 * 1024


class _Promise:
    """A request's `should_close`, which gunicorn's response calls when it sends its headers, and again at its end.

    It repeats its first answer, since the client has already received that.
    """

    __slots__ = ("_body", "_given", "_should_close")

    def __init__(self, request: Any) -> None:
        self._body = request.body
        self._should_close = request.should_close
        self._given = False

    def __call__(self) -> bool:
        if not self._given:
            too_much = getattr(self._body.reader, "length", 0) > _LONGEST_KEPT_BYTES
            self._given = too_much or self._body.failed or self._should_close()
        return self._given


def is_left(request: Any) -> bool:
    """Return whether some of the request's body may be unread; most requests have none."""
    reader = request.body.reader
    if isinstance(reader, LengthReader):
        return bool(reader.length)
    return getattr(reader, "parser", None) is not None


def promise_only_what_holds(request: Any) -> None:
    """Let the response keep the connection only if what the app may leave of the body can be discarded."""
    if getattr(request.body.reader, "length", _LONGEST_KEPT_BYTES + 1) > _LONGEST_KEPT_BYTES:
        request.should_close = _Promise(request)


def discard(request: Any, unreader: Any, client: WatchedClient, let_others_run: Callable[[], None]) -> bool:
    """Read what is left of the body, and return whether that was all of it.

    A client that stops sending has as long as it has for a request's headers.

    Raises:
        NoMoreData: when the client stops sending, or has disconnected.
        Exception: whatever reading a malformed body raises.
    """
    reader = request.body.reader
    if isinstance(reader, LengthReader):
        _discard_length(reader, unreader, client, let_others_run)
        return True
    ends = time.monotonic() + _LONGEST_CHUNKED_SECONDS
    left = _LONGEST_KEPT_BYTES
    while left > 0 and time.monotonic() < ends:
        client.await_headers()
        received = len(reader.read(_READ_BYTES))
        if not received:
            client.wait_no_more()
            return True
        left -= received
        let_others_run()
    return False


def _discard_length(reader: Any, unreader: Any, client: WatchedClient, let_others_run: Callable[[], None]) -> None:
    """Read the socket itself: gunicorn's reader copies its buffer each time that a piece is taken from it."""
    buffered = unreader.take_buffered()
    unreader.unread(buffered[reader.length :])
    reader.length -= min(reader.length, len(buffered))
    while reader.length:
        client.await_headers()
        received = len(client.recv(min(reader.length, _READ_BYTES)))
        if not received:
            raise NoMoreData
        reader.length -= received
        let_others_run()
    client.wait_no_more()
