"""--reuse-port: a worker's listeners are its own, with queues that no other worker accepts from.

When such a listener closes the kernel resets what waits there. So a worker that retires accepts that first. What comes
between the last look and the end of listening is lost all the same: some microseconds.
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
    """Yield a listener, the client and its address for each connection that waits, and end the listening then.

    Nothing without --reuse-port: others accept from the same queue. The listeners stay open, since a request's environ
    has their names.
    """
    if not config.reuse_port:
        return
    for listener in listeners:
        if listener.family not in _INTERNET:
            continue  # the file of a Unix socket belongs to whoever has made it last
        listener.setblocking(False)
        for _ in itertools.repeat(None, config.backlog):
            try:
                client, address = listener.accept()
            except OSError:  # nobody is left, or there is no descriptor for them
                break
            yield listener, client, address
        listener.shutdown(socket.SHUT_RD)
