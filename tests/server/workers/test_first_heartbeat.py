"""A request that waits at boot and blocks its worker is found out: the worker has beaten before it accepts."""

from __future__ import annotations

import contextlib
import http.client

import pytest

pytestmark = pytest.mark.integration

# sleeps in C with the GIL held, as a computation does: no thread, greenlet or task of the worker runs meanwhile
APPS = """
import ctypes

def block(path):
    if path == "/block":
        ctypes.PyDLL(None).sleep(600)

def wsgi(environ, start_response):
    block(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    block(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi"])
def test_a_worker_whose_first_request_blocks_it_is_replaced_after_the_timeout(start, until, tmp_path, worker_class):
    (tmp_path / "blocking.py").write_text(APPS)
    app = "blocking:asgi" if worker_class == "asgi" else "blocking:wsgi"
    flags = ("--threads", "4") if worker_class == "gthread" else ()
    server = start("-k", worker_class, "--timeout", "2", *flags, app=app, PYTHONPATH=str(tmp_path))
    blocking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(blocking):
        until(lambda: connects(blocking))
        blocking.request("GET", "/block")
        until(lambda: "WORKER TIMEOUT" in server.log())
        assert "while it booted" not in server.log()
        assert server.get() == (200, "ok")


def connects(connection):
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    return True
