"""One keep-alive client connection of the closed loop: a request is sent as soon as the last one is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable

_INFORMATIONAL_BELOW = 200
_NO_BODY_STATUSES = frozenset({204, 304})


class Loop(Protocol):
    """What a connection needs of the run that it is part of."""

    request: bytes

    def begin(self) -> bool:
        """Take one request out of the run's budget; False when the run is over."""

    def completed(self, status: int, began: float) -> None:
        """Count an answer to the request that began at that time."""

    def failed(self, kind: str, detail: str) -> None:
        """Count a failed request."""


class ClientConnection(asyncio.Protocol):
    """Sends request after request on one connection, until the run or the connection ends.

    The caller has taken the first request out of the budget already, at `began`: the time to connect is a part of
    what its client waits. After `closed` is set, `broken` tells whether a request failed with the connection.
    """

    def __init__(self, run: Loop, began: float, clock: Callable[[], float]) -> None:
        self.broken = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.began: float | None = began
        self._run = run
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer_started = False
        self._headers_complete = False
        self._delimited = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (narrows the type: TCP gives no other)
        self._transport = transport
        transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what cannot be an answer to the request is a failure."""
        if self.began is None:
            return
        self._answer_started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail("malformed", f"{type(error).__name__}: {error}")

    def eof_received(self) -> None:
        """Let asyncio close the transport: a server that half-closes sends nothing more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge the request that was under way: nothing is tried again."""
        if self.began is not None:
            if isinstance(exc, OSError):
                self.fail("reset", str(exc))
            elif self._headers_complete and not self._delimited and not self._parser.should_keep_alive():
                # A body without a length ends where the connection does (RFC 9112, 6.3).
                self._complete()
            elif self._answer_started:
                self.fail("eof_within_response", "the server closed the connection within its answer")
            else:
                self.fail("eof_before_response", "the server closed the connection with the request unanswered")
        if not self.closed.done():
            self.closed.set_result(None)

    # the parser's side

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the body's end is marked."""
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._delimited = True

    def on_headers_complete(self) -> None:
        """Note that the answer's head is whole."""
        if self._parser.get_status_code() in _NO_BODY_STATUSES:
            self._delimited = True
        self._headers_complete = True

    def on_message_complete(self) -> None:
        """Count the answer, and go on with the next request on this connection or a fresh one."""
        if self.began is None:
            self._close()  # data after the answer: the connection is of no further use
            return
        if self._parser.get_status_code() < _INFORMATIONAL_BELOW:
            self._answer_started = self._headers_complete = self._delimited = False
            return
        keep_alive = self._parser.should_keep_alive()
        self._complete()
        if keep_alive and self._transport is not None and self._run.begin():
            self.began = self._clock()
            self._answer_started = self._headers_complete = self._delimited = False
            self._transport.write(self._run.request)
        else:
            self._close()

    def fail(self, kind: str, detail: str) -> None:
        """Count the request under way as failed and drop the connection."""
        if self.began is None:
            return
        self.began = None
        self.broken = True
        self._run.failed(kind, detail)
        if self._transport is not None:
            self._transport.abort()

    def drop(self) -> None:
        """Drop the connection without judging what is under way: the run itself is being ended."""
        self.began = None
        if self._transport is not None:
            self._transport.abort()

    def _complete(self) -> None:
        began, self.began = self.began, None
        if began is not None:
            self._run.completed(self._parser.get_status_code(), began)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
