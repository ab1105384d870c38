"""What the kernel reports about a TCP socket: struct tcp_info (include/uapi/linux/tcp.h), by getsockopt(TCP_INFO)."""

from __future__ import annotations

import socket
import struct
from typing import Any

# For a listening socket tcpi_unacked is the length of the accept queue and tcpi_sacked its limit.
_QUEUE_AND_LIMIT = struct.Struct("=24xII")
# tcpi_last_data_recv: milliseconds since the last data arrived.
_last_data_received = struct.Struct("=52xI").unpack
# Asked for up to and with these fields; the system may not have the option.
_OPTION = getattr(socket, "TCP_INFO", 0)
_LISTENING = (socket.IPPROTO_TCP, _OPTION, _QUEUE_AND_LIMIT.size)
_CONNECTED = (socket.IPPROTO_TCP, _OPTION, 56)


def queue_and_limit(listening: socket.socket) -> tuple[int, int]:
    """Return how many connections wait in the kernel to be accepted, and how many may.

    Raises:
        OSError, struct.error: when the kernel does not report it.
    """
    queue, limit = _QUEUE_AND_LIMIT.unpack(listening.getsockopt(*_LISTENING))
    return queue, limit


def seconds_since_data(client: Any) -> float | None:
    """Return how long ago a request's last bytes arrived at its socket, or None if the kernel does not report it.

    That covers the listen backlog, the pool's queue and a busy hub alike; Linux counts it in ticks of 1 to 10 ms.
    """
    try:
        milliseconds: int = _last_data_received(client.getsockopt(*_CONNECTED))[0]
    except (OSError, AttributeError, struct.error):
        return None  # no socket, a Unix one, or a system without TCP_INFO
    return milliseconds / 1000.0
