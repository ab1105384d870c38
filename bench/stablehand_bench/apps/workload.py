"""The apps of the tuner's bench: the path says what a request does, so one server can be loaded in many ways.

| path | a request |
|---|---|
| `/` | says hello |
| `/compute/MS` | computes in Python, a fixed amount of work that takes MS milliseconds on an idle core |
| `/wait/MS` | waits, as for a database |
| `/both/COMPUTE/WAIT` | does the one, then the other, each in milliseconds |
| `/mixed` | in 30 % of the cases computes 8 ms, else waits 50 ms |
| `/block/MS` | waits inside C: other threads may run, but gevent's loop may not, since nothing yields to it |
| `/hash/ROUNDS` | computes inside C with the interpreter's lock released (PBKDF2, as for a password) |
| `/backend` | asks a backend that serves 10 requests at a time, 50 ms each |
| `/hold/MS` | waits while it holds a megabyte, in a process that has filled its cache |

Environment: `STABLEHAND_BENCH_LOOPS` (how many turns of the computing loop take a millisecond; the bench measures it
once, so that all contestants do the same work), `STABLEHAND_BENCH_BACKEND` (the backend's port) and
`STABLEHAND_BENCH_CACHE_MIB` (how large the cache of a process is).
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import random
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BODY = b"Hello, world!\n"
_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(_BODY)))]
_LOOPS = int(os.environ.get("STABLEHAND_BENCH_LOOPS", "10000"))
_BACKEND = int(os.environ.get("STABLEHAND_BENCH_BACKEND", "0"))
_CACHE_BYTES = int(os.environ.get("STABLEHAND_BENCH_CACHE_MIB", "0")) << 20
_COMPUTING_SHARE = 0.3
_HELD_BYTES = 1 << 20
_c_library = ctypes.CDLL(None)
_caches: dict[int, bytes] = {}


def compute(turns: int) -> int:
    """Turn a loop so often; the same work every time, and never a chance for another greenlet."""
    state = 1
    for _ in range(turns):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Do what the path says."""
    path = environ["PATH_INFO"]
    if path != "/":
        kind, *numbers = path[1:].split("/")
        _KINDS[kind](*map(float, numbers))
    start_response("200 OK", list(_HEADERS))
    return [_BODY]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Callable[..., Any]) -> None:  # noqa: ARG001 (ASGI)
    """Do the same for ASGI servers: `/`, and `/both/COMPUTE/WAIT`."""
    if scope["type"] != "http":
        raise ValueError(f"nothing but HTTP here, no {scope['type']}")
    if scope["path"] != "/":
        _, computing, waiting = scope["path"][1:].split("/")
        _compute(float(computing))
        await asyncio.sleep(float(waiting) / 1000)
    headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


def _compute(milliseconds: float) -> None:
    compute(int(milliseconds * _LOOPS))


def _wait(milliseconds: float) -> None:
    time.sleep(milliseconds / 1000)


def _both(computing: float, waiting: float) -> None:
    _compute(computing)
    _wait(waiting)


def _mixed() -> None:
    if random.random() < _COMPUTING_SHARE:  # noqa: S311 (no secret)
        _compute(8)
    else:
        _wait(50)


def _block(milliseconds: float) -> None:
    # ctypes releases the interpreter's lock around the call, and gevent knows nothing of it.
    _c_library.usleep(int(milliseconds * 1000))


def _hash(rounds: float) -> None:
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", int(rounds))


def _ask_backend() -> None:
    with socket.create_connection(("127.0.0.1", _BACKEND)) as connection:
        connection.sendall(b"GET /work HTTP/1.0\r\n\r\n")
        if not connection.recv(64):
            raise ConnectionError("the backend closed the connection without an answer")


def _hold(milliseconds: float) -> None:
    # Filled in the worker that serves, as caches are: what a master loads before it forks would be shared.
    pid = os.getpid()
    if pid not in _caches:
        _caches.clear()
        _caches[pid] = b"\1" * _CACHE_BYTES
    held = b"\1" * _HELD_BYTES
    _wait(milliseconds)
    del held


_KINDS: dict[str, Callable[..., None]] = {
    "compute": _compute,
    "wait": _wait,
    "both": _both,
    "mixed": _mixed,
    "block": _block,
    "hash": _hash,
    "backend": _ask_backend,
    "hold": _hold,
}
