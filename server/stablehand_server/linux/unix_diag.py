"""What the kernel reports about a Unix socket, by sock_diag(7).

The structures are those of include/uapi/linux/{netlink,sock_diag,unix_diag}.h.
"""

from __future__ import annotations

import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_RQLEN = 0x10
_UNIX_DIAG_RQLEN = 4
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBHIIIII")  # family, protocol, padding, states, inode, show, cookie (two)
_REPLY_BYTES = 16  # family, type, state, padding, inode, cookie (two)
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_QUEUE_AND_LIMIT = struct.Struct("=II")
_ALIGNMENT = 4
_LONGEST_REPLY_BYTES = 4096
_LONGEST_WAIT_SECONDS = 0.1


def queue_and_limit(inode: int) -> tuple[int, int]:
    """Return how many connections wait at the socket of an inode to be accepted, and how many may.

    Raises:
        OSError, struct.error: when the kernel does not report it.
    """
    request = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ALL_STATES, inode & 0xFFFFFFFF, _UDIAG_SHOW_RQLEN, _NO_COOKIE, _NO_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_LONGEST_WAIT_SECONDS)
        kernel.sendto(header + request, (0, 0))
        reply = kernel.recv(_LONGEST_REPLY_BYTES)
    length, kind, *_ = _HEADER.unpack_from(reply)
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError("the kernel does not report on this socket")
    place = _HEADER.size + _REPLY_BYTES
    while place + _ATTRIBUTE.size <= length:
        size, name = _ATTRIBUTE.unpack_from(reply, place)
        if name == _UNIX_DIAG_RQLEN:
            queue, limit = _QUEUE_AND_LIMIT.unpack_from(reply, place + _ATTRIBUTE.size)
            return queue, limit
        place += max(_ATTRIBUTE.size, -(-size // _ALIGNMENT) * _ALIGNMENT)
    raise OSError("the kernel does not report this socket's queue")
