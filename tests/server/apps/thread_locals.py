"""An app whose threads each keep something, as a connection to a database: says how many are kept in its process."""

import os
import threading
import time
import weakref


class _Kept:
    """Lives as long as its thread."""


_all = weakref.WeakSet()
_local = threading.local()


def app(environ, start_response):
    """Wait for the query's seconds, 10 ms by default; answer with the process and the number."""
    if not hasattr(_local, "kept"):
        _local.kept = _Kept()
        _all.add(_local.kept)
    time.sleep(float(environ["QUERY_STRING"] or 0.01))
    body = f"{os.getpid()} {len(_all)}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
