from __future__ import annotations

import contextlib
import http.client
import socket

import pytest

pytestmark = pytest.mark.integration

AT_ONCE = 100
APPS = """
import itertools, time
counter = itertools.count(1)

def served():
    until = time.monotonic() + 0.01
    while time.monotonic() < until:
        pass
    return b"%d" % next(counter)

def wsgi(environ, start_response):
    body = served()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    body = served()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize("worker_class", ["gevent", "eventlet", "tornado", "asgi"])
def test_a_client_that_sends_many_requests_at_once_leaves_the_others_their_turn(launch, tmp_path, worker_class):
    (tmp_path / "computing.py").write_text(APPS)
    app = "computing:asgi" if worker_class == "asgi" else "computing:wsgi"
    server = launch("--worker-class", worker_class, app=app, PYTHONPATH=str(tmp_path))
    patient = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    greedy = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with contextlib.closing(patient), contextlib.closing(greedy):
        assert place(patient) == 1
        greedy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * AT_ONCE)
        assert greedy.recv(12) == b"HTTP/1.1 200"
        assert place(patient) < AT_ONCE / 2


def place(connection):
    """Send a request, and return as which one of all it was served."""
    connection.request("GET", "/")
    return int(connection.getresponse().read())
