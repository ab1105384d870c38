"""How long a request waited before it entered the app, as reported by a proxy or the kernel."""

from __future__ import annotations

import time
from typing import Any

from stablehand_server.linux import tcp_info

_LONGEST_QUEUE_SECONDS = 3600.0  # an older X-Request-Start comes from a wrong clock or is invalid


def seconds_queued(environ: dict[str, Any]) -> float | None:
    """Return how long a request waited before it entered the app, or None if it is unknown.

    A proxy's X-Request-Start counts from the proxy; without one the kernel is asked.
    """
    header = environ.get("HTTP_X_REQUEST_START")
    if header is not None:
        return seconds_since_request_start(header)
    return tcp_info.seconds_since_data(environ.get("gunicorn.socket"))


def seconds_since_request_start(header: str) -> float | None:
    """Return how long ago X-Request-Start was: seconds, milliseconds or microseconds since 1970, or None.

    With or without `t=`; None for an impossible time.
    """
    now = time.time()
    try:
        stamp = float(header.strip().removeprefix("t="))
    except ValueError:
        return None
    for unit in (1.0, 1e3, 1e6):
        waited = now - stamp / unit
        if 0.0 <= waited <= _LONGEST_QUEUE_SECONDS:
            return waited
    return None
