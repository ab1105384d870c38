"""A request that has come while the app blocked the loop for longer than every time limit is served."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading

import pytest

pytestmark = pytest.mark.integration

APP = """
import time

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/block":
        time.sleep(2.5)  # longer than the keep-alive of one second
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def certificate(request, tmp_path_factory):
    """Return a file with a certificate that signs itself and its key, and None for no TLS."""
    if not request.param:
        return None
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made = subprocess.run([*command, "-keyout", "-", "-out", "-"], check=True, capture_output=True)
    path.write_bytes(made.stdout)
    return path


def post(path, body):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answer(client):
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(1)
        assert part, head
        head += part
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += client.recv(length)
    return body


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
def test_new_kept_and_half_read_requests_wait_for_as_long_as_the_loop_is_blocked(
    launch, until, tmp_path, certificate, loop
):
    (tmp_path / "blocking.py").write_text(APP)
    flags = ["-k", "asgi", "--keep-alive", "1", "--asgi-loop", loop]
    if certificate:
        flags += ["--certfile", str(certificate), "--keyfile", str(certificate)]
    server = launch(*flags, app="blocking:app", PYTHONPATH=str(tmp_path))
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False

    def connect():
        client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        return context.wrap_socket(client) if certificate else client

    with contextlib.ExitStack() as stack:
        kept, half, unsaid, blocking = (stack.enter_context(contextlib.closing(connect())) for _ in range(4))
        for client in (kept, half):
            client.sendall(post("/", b"first"))
            assert answer(client) == b"first"
        half.sendall(post("/", b"second half")[:-5])
        blocking.sendall(post("/block", b"blocks"))
        until(lambda: server.metric("worker_busy_slots", worker="0") == 2)
        kept.sendall(post("/", b"kept") + post("/", b"pipelined"))
        half.sendall(b" half")
        unsaid.sendall(post("/", b"unsaid"))
        new = []
        asking = threading.Thread(target=lambda: new.append(ask(connect, b"new")))
        asking.start()
        assert answer(blocking) == b"blocks"
        assert [answer(client) for client in (kept, kept, half, unsaid)] == [
            b"kept",
            b"pipelined",
            b"second half",
            b"unsaid",
        ]
        asking.join()
        assert new == [b"new"]


def ask(connect, body):
    with contextlib.closing(connect()) as client:
        client.sendall(post("/", body))
        return answer(client)
