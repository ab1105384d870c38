"""Apps that count, over all processes, how many requests are inside at once, and hold them until a gate opens."""

import asyncio
import contextlib
import fcntl
import struct
import time
from pathlib import Path

# In the server's working directory.
_GATE = Path("gate")
_COUNTS = Path("counts")
_FORMAT = struct.Struct("=qq")  # inside now, most inside at once
_SECONDS_BETWEEN_LOOKS = 0.5


def _change(by):
    with _COUNTS.open("r+b", buffering=0) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # until the file is closed
        inside, most = _FORMAT.unpack(file.read(_FORMAT.size))
        file.seek(0)
        file.write(_FORMAT.pack(inside + by, max(most, inside + by)))


@contextlib.contextmanager
def _inside():
    _change(+1)
    try:
        yield
    finally:
        _change(-1)


def wsgi(environ, start_response):
    """Hold the request inside until the gate opens."""
    with _inside():
        while not _GATE.exists():
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    """Do the same in an event loop."""
    if scope["type"] != "http":
        raise RuntimeError("there is no lifespan")
    with _inside():
        while not _GATE.exists():  # noqa: ASYNC110, ASYNC240 (it is opened by another process; looking takes microseconds)
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
