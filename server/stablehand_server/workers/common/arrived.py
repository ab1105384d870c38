"""What has come on a connection, asked of the kernel by its descriptor: whatever library's object has it open."""

from __future__ import annotations

import _socket  # the plain socket: gevent and eventlet put their own in the place of the other one
import fcntl
import struct
import termios

_INT = struct.Struct("i")


def bytes_waiting(fileno: int) -> int:
    """Return how many bytes have come that nobody has read yet; 0 also where the descriptor is closed."""
    try:
        answer: bytes = fcntl.ioctl(fileno, termios.FIONREAD, bytes(_INT.size))
    except (OSError, ValueError):
        return 0
    return int(_INT.unpack(answer)[0])


def end_reading(fileno: int) -> None:
    """Let whoever reads from the connection see the end of the stream; what has come already is still read first."""
    try:
        plain = _socket.socket(fileno=fileno)
    except (OSError, ValueError):
        return  # it is closed already, which is as good
    try:
        plain.shutdown(_socket.SHUT_RD)
    except OSError:
        return  # the client has gone meanwhile
    finally:
        plain.detach()  # the descriptor is somebody else's
