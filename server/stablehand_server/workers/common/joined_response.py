"""A response whose headers and first piece of body leave in one packet.

gunicorn sends them one after the other: two system calls, two packets, and for the client two reads. The first `write`
is what sends both in gunicorn, too, so nothing is sent later than there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import Response as GunicornResponse

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_JOINED_BYTES = 64 * 1024  # copying more costs about what the system call does


class Response(GunicornResponse):
    """gunicorn's response, all of whose code still runs: only what it sends within its first `write` is gathered.

    It has the same name as gunicorn's, which hooks see.
    """

    sock: Any
    headers_sent: bool

    def write(self, arg: Any) -> None:
        """Send a piece of the body, after the headers if they are still to be sent.

        Raises:
            TypeError: when it is no bytes; the headers have been sent then.
            OSError: when the client has disconnected.
        """
        if self.headers_sent or not isinstance(arg, bytes) or len(arg) > _LONGEST_JOINED_BYTES:
            super().write(arg)
            return
        connection = self.sock
        self.sock = gathering = _Gathering(connection)
        try:
            super().write(arg)
        finally:
            self.sock = connection
            gathering.flush()


class _Gathering:
    """Takes the place of a socket while gunicorn sends, which only calls `sendall`.

    For what others have put in the place of gunicorn's methods it is the socket itself: whatever else they use of it,
    what was gathered before is sent first.
    """

    __slots__ = ("_connection", "_pieces", "sendall")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pieces: list[bytes] = []
        self.sendall: Callable[[bytes], None] = self._pieces.append

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._connection, name)

    def flush(self) -> None:
        """Send what was gathered, and from now on everything at once."""
        self.sendall = self._connection.sendall
        if self._pieces:
            gathered, self._pieces = b"".join(self._pieces), []
            self.sendall(gathered)
