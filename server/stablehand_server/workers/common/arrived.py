"""What has arrived on a connection, as the kernel reports by its descriptor, whichever library's object has it open."""

from __future__ import annotations

import _socket  # the plain socket: gevent and eventlet replace socket.socket
import fcntl
import struct
import termios

_INT = struct.Struct("i")


def bytes_waiting(fileno: int) -> int:
    """Return how many unread bytes have arrived; 0 also if the descriptor is closed."""
    try:
        answer: bytes = fcntl.ioctl(fileno, termios.FIONREAD, bytes(_INT.size))
    except (OSError, ValueError):
        return 0
    return int(_INT.unpack(answer)[0])


def end_reading(fileno: int) -> None:
    """Let readers of the connection see the end of the stream; what has already arrived is still read first."""
    try:
        plain = _socket.socket(fileno=fileno)
    except (OSError, ValueError):
        return  # it is already closed, which has the same effect
    try:
        plain.shutdown(_socket.SHUT_RD)
    except OSError:
        return  # the client has disconnected meanwhile
    finally:
        plain.detach()  # the descriptor belongs to another object
