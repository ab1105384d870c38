"""How many connections wait in the kernel for the server to accept them."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# struct tcp_info (include/uapi/linux/tcp.h): for a listening socket tcpi_unacked is the length of the accept queue and
# tcpi_sacked its limit.
_TCP_INFO_BYTES = 104
_TCP_QUEUE_AND_LIMIT = struct.Struct("=24xII")

# Unix sockets tell theirs by sock_diag(7) only: include/uapi/linux/{netlink,sock_diag,unix_diag}.h
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
_UNIX_QUEUE_AND_LIMIT = struct.Struct("=II")
_ALIGNMENT = 4
_LONGEST_REPLY_BYTES = 4096
_LONGEST_WAIT_SECONDS = 0.1


def backlog(listeners: Sequence[Any]) -> tuple[int, int]:
    """Return how many connections wait in the kernel to be accepted, and how many may, over all listeners.

    What a socket does not tell (it is closed meanwhile, or the system has no way to ask) counts as nothing, on both
    sides.
    """
    waiting = limit = 0
    for listener in listeners:
        family = getattr(listener, "FAMILY", None)
        try:
            if family in {socket.AF_INET, socket.AF_INET6}:
                queue, most = _of_tcp(listener.sock)
            elif family == socket.AF_UNIX:
                queue, most = _of_unix(os.fstat(listener.sock.fileno()).st_ino)
            else:
                continue
        except (OSError, AttributeError, struct.error):
            continue
        waiting += queue
        limit += most
    return waiting, limit


def _of_tcp(listening: socket.socket) -> tuple[int, int]:
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    queue, limit = _TCP_QUEUE_AND_LIMIT.unpack_from(info)
    return queue, limit


def _of_unix(inode: int) -> tuple[int, int]:
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
        raise OSError("the kernel does not tell of this socket")
    place = _HEADER.size + _REPLY_BYTES
    while place + _ATTRIBUTE.size <= length:
        size, name = _ATTRIBUTE.unpack_from(reply, place)
        if name == _UNIX_DIAG_RQLEN:
            queue, limit = _UNIX_QUEUE_AND_LIMIT.unpack_from(reply, place + _ATTRIBUTE.size)
            return queue, limit
        place += max(_ATTRIBUTE.size, -(-size // _ALIGNMENT) * _ALIGNMENT)
    raise OSError("the kernel does not tell of this socket's queue")
