"""gevent and eventlet: whoever has sent something is served, however late, and what goes wrong is told."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time

import pytest

pytestmark = pytest.mark.integration

APP = """
import ctypes, sys

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/block":
        ctypes.CDLL(None).usleep(6_000_000)
    if path == "/missing":
        raise FileNotFoundError("no such price list")
    if path == "/exit":
        sys.exit(3)
    body = environ["wsgi.input"].read() or b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
GREEN = pytest.mark.parametrize("worker_class", ["gevent", "eventlet"])
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture
def serve(start, until, tmp_path):
    (tmp_path / "busy.py").write_text(APP)

    def serve_class(worker_class, *flags):
        server = start("-k", worker_class, *flags, app="busy:app", PYTHONPATH=str(tmp_path))
        until(lambda: server.readiness() == 200)
        return server

    return serve_class


@pytest.fixture
def tls(tmp_path):
    """Return flags for a server with TLS, and a client's context."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    return ("--certfile", str(certificate), "--keyfile", str(key)), trusting


@GREEN
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_what_came_while_the_hub_was_blocked_is_answered_after_every_time_limit(serve, tls, worker_class, secured):
    flags, trusting = tls
    server = serve(worker_class, "--keep-alive", "1", *(flags if secured else ()))
    with contextlib.ExitStack() as stack:

        def connected():
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            return stack.enter_context(trusting.wrap_socket(client)) if secured else client

        kept, silent, half_headers, half_body, blocking = (connected() for _ in range(5))
        kept.sendall(HEAD + b"once")
        assert answer(kept) == b"once"
        half_headers.sendall(HEAD[:20])
        half_body.sendall(HEAD + b"ha")
        blocking.sendall(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)  # within the shortest limit
        for client, rest in ((kept, HEAD + b"more"), (half_headers, HEAD[20:] + b"head"), (half_body, b"lf")):
            client.sendall(rest)
        silent.sendall(HEAD + b"talk")
        fresh = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with fresh:
            if not secured:
                fresh.sendall(HEAD + b"new!")
            for client, body in ((kept, b"more"), (silent, b"talk"), (half_headers, b"head"), (half_body, b"half")):
                assert answer(client) == body
            if secured:
                with trusting.wrap_socket(fresh) as fresh_and_secured:
                    fresh_and_secured.sendall(HEAD + b"new!")
                    assert answer(fresh_and_secured) == b"new!"
            else:
                assert answer(fresh) == b"new!"


@GREEN
def test_a_connection_may_be_opened_as_long_before_its_request_as_connections_are_kept(serve, worker_class):
    server = serve(worker_class, "--keep-alive", "9")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        time.sleep(6)
        client.sendall(HEAD + b"late")
        assert answer(client) == b"late"


@GREEN
def test_an_error_of_the_operating_system_in_the_app_is_logged(serve, until, worker_class):
    server = serve(worker_class)
    with pytest.raises(http.client.RemoteDisconnected):
        server.get("/missing")
    until(lambda: "no such price list" in server.log())


@GREEN
def test_an_app_that_exits_ends_no_worker(serve, worker_class):
    server = serve(worker_class)
    pids = server.workers()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(1)
    assert server.get() == (200, "ok")
    assert server.workers() == pids


@GREEN
def test_a_client_that_speaks_no_tls_is_let_go_and_logs_no_traceback(serve, tls, worker_class):
    flags, trusting = tls
    server = serve(worker_class, *flags)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
        plain.sendall(HEAD + b"oops")
        with contextlib.suppress(ConnectionResetError):
            assert b"200 OK" not in plain.recv(1000)
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with client, trusting.wrap_socket(client) as secured:
        secured.sendall(HEAD + b"fine")
        assert answer(secured) == b"fine"
    assert "Traceback" not in server.log()


def answer(client):
    """Read one response, and return its body."""
    with contextlib.closing(http.client.HTTPResponse(client)) as response:
        response.begin()
        assert response.status == 200
        return response.read()
