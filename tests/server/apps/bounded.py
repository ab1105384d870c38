"""An app that bears ten requests at once in a process; any more fail, as where a database refuses connections."""

import threading
import time

_CONNECTIONS = threading.Semaphore(10)


def app(_environ, start_response):
    """Answer after 50 ms, or after 20 ms that there is no connection left."""
    if not _CONNECTIONS.acquire(blocking=False):
        time.sleep(0.02)
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    try:
        time.sleep(0.05)
    finally:
        _CONNECTIONS.release()
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
