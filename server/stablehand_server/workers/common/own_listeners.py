"""--reuse-port: a worker's listeners are its own, with queues that no other worker accepts from.

When such a listener closes, the kernel resets what waits there. So a worker that retires accepts that first. What
arrives between the last accept and the end of listening, a few microseconds, is still lost.
"""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stablehand_server.gunicorn_internals.settings import Config

_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})


def left_behind(config: Config, listeners: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield a listener, the client and its address for each connection that waits, and then stop listening.

    Nothing without --reuse-port: others accept from the same queue. The listeners stay open, since a request's environ
    has their names.
    """
    if not config.reuse_port:
        return
    for listener in listeners:
        if listener.family not in _INTERNET:
            continue  # the file of a Unix socket belongs to the process that created it last
        listener.setblocking(False)
        for _ in itertools.repeat(None, config.backlog):
            try:
                client, address = listener.accept()
            except OSError:  # no connection is left, or there is no descriptor for it
                break
            yield listener, client, address
        listener.shutdown(socket.SHUT_RD)
