"""The client's socket as a WSGI app's thread sees it: data is sent through the loop, and not ahead of the client.

The thread waits while more than a few pieces wait for the client: a long response is never in memory as a whole, and a
disconnected client is noticed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from stablehand_server.workers.asgi.protocol import Connection

_BYTES_AHEAD = 64 * 1024  # by which a thread may be ahead of its client, in addition to what the transport takes
_PIECE_BYTES = 256 * 1024
_AS_GOOD_AS_FOR_EVER = 10 * 365 * 86400.0  # seconds


class Outlet:
    """Sends in an app's thread; the methods for the loop are marked as such."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._room = threading.Condition()
        self._pieces: list[bytes | memoryview] = []
        self._unsent = 0  # bytes that the client's transport has not taken, those in `_pieces` too
        self._in_transport = 0
        self._is_scheduled = False
        self._is_gone = False
        self.has_sent = False  # anything
        self._own: socket.socket | None = None  # of an app that has taken over the connection

    def __getattr__(self, name: str) -> Any:
        """Delegate everything but input and output to the socket: its options, names and number."""
        return getattr(self._connection.client, name)

    # In the app's thread ----------------------------------------------------------------------------------------------

    def sendall(self, data: Any, _flags: int = 0) -> None:
        """Send; return when the client has taken most of it.

        Raises:
            BrokenPipeError: when the client has gone.
        """
        whole = data if isinstance(data, bytes) else bytes(data)
        if len(whole) <= _PIECE_BYTES:
            self._send_piece(whole)
        else:
            view = memoryview(whole)
            for place in range(0, len(whole), _PIECE_BYTES):
                self._send_piece(view[place : place + _PIECE_BYTES])

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it, and return how much that was."""
        self.sendall(data, flags)
        return len(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send part of a file, given its descriptor, and return how much that was."""
        sent = 0
        while count is None or sent < count:
            wanted = _PIECE_BYTES if count is None else min(_PIECE_BYTES, count - sent)
            piece = os.pread(file.fileno(), wanted, offset + sent)
            if not piece:
                break
            self._send_piece(piece)
            sent += len(piece)
        return sent

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive, for an app that has switched to another protocol; see `dup`."""
        return self._taken_over().recv(size, flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive into a buffer, as above."""
        return self._taken_over().recv_into(buffer, size, flags)

    def close(self) -> None:
        """Close the socket that was taken over; the connection itself closes after the request."""
        if self._own is not None:
            self._own.close()

    def gettimeout(self) -> None:
        """Return that it blocks."""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: sending always waits for the client."""

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 (a socket's)
        """Do nothing, as above."""

    def dup(self) -> socket.socket:
        """Return the socket for an app that uses another protocol on it, such as a websocket; see `hand_over`.

        Raises:
            NotImplementedError: for TLS, as of a TLS socket.
            BrokenPipeError: when the client has gone.
        """
        if self._connection.is_tls:
            raise NotImplementedError("a TLS socket cannot be duplicated")
        done = threading.Event()

        def hand_over() -> None:
            self._connection.hand_over()
            done.set()

        self._call(hand_over)
        done.wait()
        with self._room:
            while self._unsent and not self._is_gone:
                self._room.wait()
            if self._is_gone:
                raise _gone()
        own: socket.socket = self._connection.client.dup()
        # With a time limit it blocks although the descriptor does not, which is also the loop's.
        own.settimeout(_AS_GOOD_AS_FOR_EVER)
        return own

    def _taken_over(self) -> socket.socket:
        if self._own is None:
            self._own = self.dup()
        return self._own

    def _send_piece(self, piece: bytes | memoryview) -> None:
        with self._room:
            while self._unsent > _BYTES_AHEAD and not self._is_gone:
                self._room.wait()
            if self._is_gone:
                raise _gone()
            self._pieces.append(piece)
            self._unsent += len(piece)
            self.has_sent = True
            if self._is_scheduled:
                return
            self._is_scheduled = True
        self._call(self._flush)

    def _call(self, function: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError as error:  # the loop has ended, and the worker ends
            raise _gone() from error

    # In the loop ------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        with self._room:
            pieces, self._pieces = self._pieces, []
            self._is_scheduled = False
            self._in_transport = self._unsent
        connection = self._connection
        connection.write_pieces(pieces)
        if not connection.is_write_paused:
            self.written()

    def written(self) -> None:
        """Let the thread continue: the transport has taken what it was given."""
        with self._room:
            self._unsent -= self._in_transport
            self._in_transport = 0
            self._room.notify_all()

    def hang_up(self) -> None:
        """Notify the thread that the client has disconnected."""
        with self._room:
            self._is_gone = True
            self._room.notify_all()
        if self._own is not None:
            with contextlib.suppress(OSError):  # it has already disconnected
                self._own.shutdown(socket.SHUT_RDWR)


def _gone() -> BrokenPipeError:
    return BrokenPipeError(errno.EPIPE, "the client has closed the connection")
