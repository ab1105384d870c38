"""A client's socket as gunicorn's parser reads it, whose stream ends when the client takes too long."""

from __future__ import annotations

from typing import Any

from stablehand_server.workers.common import arrived
from stablehand_server.workers.common.base import HEADER_SECONDS
from stablehand_server.workers.common.patience import Patience


class WatchedClient(Patience):
    """A connection, from the worker's side; `header_seconds` is how long a request's headers may take.

    `request` is the one being served, or None while the next one is awaited and read.

    It has neither gettimeout nor settimeout: gunicorn's parser would call them at every request.
    """

    __slots__ = ("_fileno", "_header_seconds", "_receive", "request")

    def __init__(self, client: Any, header_seconds: float = HEADER_SECONDS) -> None:
        super().__init__()
        self._fileno: int = client.fileno()
        self._header_seconds = header_seconds
        self._receive = client.recv
        self.request: Any = None

    def read_through(self, secured: Any) -> None:
        """Read through another object from now on: the same connection with TLS around it."""
        self._receive = secured.recv

    def recv(self, size: int) -> Any:
        """Receive as the socket does."""
        received = self._receive(size)
        if self.idle:
            self.await_headers()
        return received

    def await_headers(self) -> None:
        """Note that the first byte of a request has arrived: the rest of its headers should follow."""
        self.await_request(self._header_seconds)
        self.idle = False

    def data_waits(self) -> bool:
        """Return whether something can be read at once."""
        return arrived.bytes_waiting(self._fileno) > 0

    def give_up(self) -> None:
        """Let readers see the end of the stream; what has already arrived is still read first."""
        arrived.end_reading(self._fileno)
