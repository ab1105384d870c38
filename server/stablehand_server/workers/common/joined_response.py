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
        pieces: list[bytes] = []
        self.sock = _Gathering(pieces.append)
        try:
            super().write(arg)
        finally:
            self.sock = connection
        connection.sendall(b"".join(pieces))


class _Gathering:
    """Takes the place of a socket to which only `sendall` is called."""

    __slots__ = ("sendall",)

    def __init__(self, sendall: Callable[[bytes], None]) -> None:
        self.sendall = sendall
