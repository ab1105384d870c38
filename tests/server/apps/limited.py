"""An app whose threads each keep a connection to a database that refuses more than so many, over all processes."""

import fcntl
import os
import struct
import threading
import time
from pathlib import Path

_MOST = int(os.environ.get("APP_MOST", "20"))
_SECONDS = float(os.environ.get("APP_SECONDS", "0.02"))
_COUNT = Path("connections").absolute()  # in the server's working directory: how many there are
_DOWN = Path("down").absolute()
_COUNT.touch()
_local = threading.local()


class _Connection:
    """Counts for as long as its thread lives."""

    def __init__(self):
        self.counted = False
        if _add(1) > (0 if _DOWN.exists() else _MOST):
            _add(-1)
            raise ConnectionRefusedError("too many clients")
        self.counted = True

    def __del__(self):
        if self.counted:
            _add(-1)


def _add(more):
    with _COUNT.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (count,) = struct.unpack("=q", file.read(8) or bytes(8))
        file.seek(0)
        file.write(struct.pack("=q", count + more))
        file.flush()
        return count + more


def app(_environ, start_response):
    """Answer after a short wait, with an error where there is no connection."""
    try:
        if _DOWN.exists() or not hasattr(_local, "connection"):
            _local.connection = _Connection()
    except ConnectionRefusedError:
        time.sleep(_SECONDS)
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    time.sleep(_SECONDS)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
