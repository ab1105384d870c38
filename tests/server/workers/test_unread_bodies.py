"""A body that the app does not read: its answer reaches the client, and what it says of the connection is true."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading

import pytest

pytestmark = pytest.mark.integration

APPS = """

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
BLOCK = b"z" * 100_000
GREEN = ["gevent", "eventlet"]
CLASSES = ["sync", "gthread", *GREEN, "tornado"]  # asgi resets such a client, as gunicorn does
LATER = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def serve(launch, tmp_path):
    (tmp_path / "heedless.py").write_text(APPS)

    def serve_class(worker_class, *flags):
        app = "heedless:asgi" if worker_class == "asgi" else "heedless:wsgi"
        name = worker_class.partition(" ")[0]
        threads = ("--threads", "4") if name in {"gthread", "asgi"} else ()
        return launch("-k", name, *threads, *flags, app=app, PYTHONPATH=str(tmp_path))

    return serve_class


@pytest.mark.parametrize("worker_class", CLASSES)
def test_an_early_answer_reaches_a_client_that_sends_its_body_to_the_end(serve, worker_class):
    server = serve(worker_class)
    for body in (length, chunked):
        for close in (False, True):
            for size in (100_000, 5_000_000):
                with connected(server) as client:
                    client.sendall(b"".join(body(size, close=close)))
                    status, closes = answer(client)
                    assert status == 200, (body.__name__, close, size)
                    if closes:
                        assert client.recv(1) == b""
                        continue
                    assert not close
                    if worker_class == "gthread":
                        continue  # as with gunicorn: a thread discards 64 KiB, and the connection closes
                    client.sendall(LATER)
                    assert answer(client)[0] == 200, (body.__name__, size)


@pytest.mark.parametrize("worker_class", GREEN)
def test_clients_that_still_send_hold_up_nobody(serve, worker_class):
    server = serve(worker_class, "--worker-connections", "2")
    with contextlib.ExitStack() as stack:
        sending = [stack.enter_context(connected(server)) for _ in range(4)]
        for client in sending:
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000000\r\n\r\n" + BLOCK
            )
            assert answer(client) == (200, True)
        assert server.get() == (200, "ok")
        for client in sending:
            client.sendall(BLOCK * 48)  # it is still read
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""


@pytest.mark.parametrize("worker_class", GREEN)
def test_a_client_that_sends_at_full_speed_leaves_the_others_their_turn(serve, worker_class):
    server = serve(worker_class)
    stop = threading.Event()

    def flood():
        with connected(server) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not stop.is_set():
                client.sendall(b"186a0\r\n" + BLOCK + b"\r\n")

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with contextlib.closing(connection):
            for _ in range(20):
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"ok"
    finally:
        stop.set()
        flooding.join()


@pytest.mark.parametrize("worker_class", GREEN)
def test_a_body_too_large_to_be_discarded_closes_its_connection_and_the_answer_says_so(serve, worker_class):
    server = serve(worker_class)
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n" + BLOCK)
        assert answer(client) == (200, True)


@pytest.mark.parametrize("worker_class", GREEN)
def test_an_error_in_a_request_is_told_to_a_client_that_goes_on_sending(serve, worker_class):
    server = serve(worker_class)
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + BLOCK * 50)
        assert answer(client) == (400, True)


@pytest.mark.parametrize("worker_class", GREEN)
def test_a_worker_retires_although_a_client_does_not_end_its_body(serve, until, worker_class):
    server = serve(worker_class, "--graceful-timeout", "4", "--retire-timeout", "4")
    old = server.workers()
    with connected(server) as silent, connected(server) as closing:
        silent.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert answer(silent) == (200, False)
        closing.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n")
        assert answer(closing) == (200, True)
        server.configure("sync", 1)
        until(lambda: not old & server.workers())
    assert "TIMEOUT" not in server.log()


def length(size, *, close):
    yield b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % size
    yield b"Connection: close\r\n\r\n" if close else b"\r\n"
    yield from (BLOCK for _ in range(size // len(BLOCK)))


def chunked(size, *, close):
    yield b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    yield b"Connection: close\r\n\r\n" if close else b"\r\n"
    yield from (b"186a0\r\n" + BLOCK + b"\r\n" for _ in range(size // len(BLOCK)))
    yield b"0\r\n\r\n"


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def answer(client):
    """Read one response with a body of a known length; return its status, and whether it closes the connection."""
    with contextlib.closing(http.client.HTTPResponse(client)) as response:
        response.begin()
        response.read()
        return response.status, response.will_close
