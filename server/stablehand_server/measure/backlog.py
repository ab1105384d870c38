"""How many connections wait in the kernel for the server to accept them."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from stablehand_server.linux import tcp_info, unix_diag

if TYPE_CHECKING:
    from collections.abc import Sequence


def backlog(listeners: Sequence[Any]) -> tuple[int, int]:
    """Return how many connections wait in the kernel to be accepted, and how many may, over all listeners.

    A socket whose numbers are unknown (it has been closed meanwhile, or the system cannot report them) adds nothing to
    either.
    """
    waiting = limit = 0
    for listener in listeners:
        family = getattr(listener, "FAMILY", None)
        try:
            if family in {socket.AF_INET, socket.AF_INET6}:
                queue, most = tcp_info.queue_and_limit(listener.sock)
            elif family == socket.AF_UNIX:
                queue, most = unix_diag.queue_and_limit(os.fstat(listener.sock.fileno()).st_ino)
            else:
                continue
        except (OSError, AttributeError, struct.error):
            continue
        waiting += queue
        limit += most
    return waiting, limit
