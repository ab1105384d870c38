"""How an asgi worker leaves: websockets, event streams and long requests, for a change and at the server's end."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import struct
import time

import pytest

pytestmark = pytest.mark.integration

APP = """
import asyncio
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        Path("lifespan-ended").touch()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        Path("websocket-ended").write_text(str(message["code"]))
    elif scope["path"] == "/events":
        await receive()
        gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"data: tick", "more_body": True})
            await asyncio.wait([gone], timeout=0.2)
        await send({"type": "http.response.body", "body": b"data: last"})
        Path("events-ended").touch()
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""


def upgrade():
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    return "\r\n".join([*lines, "Sec-WebSocket-Version: 13", "", ""]).encode()


def frame(text):
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + masked


def until_in(client, wanted):
    got = b""
    while wanted not in got:
        part = client.recv(1000)
        assert part, got
        got += part
    return got


def rest(client):
    got = b""
    while part := client.recv(1000):
        got += part
    return got


@pytest.fixture
def connected():
    """Connect to a server and send something; the connections are closed after the test."""
    with contextlib.ExitStack() as stack:

        def connect(server, data):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            stack.callback(client.close)
            client.sendall(data)
            return client

        yield connect


@pytest.fixture
def serving(launch, tmp_path):
    """Launch a server with the app of these tests."""
    (tmp_path / "leaving.py").write_text(APP)

    def launched(*flags):
        return launch("-k", "asgi", *flags, app="leaving:app", PYTHONPATH=str(tmp_path))

    return launched


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
def test_at_the_servers_end_websockets_and_streams_are_closed_as_their_protocols_have_it(
    serving, connected, until, tmp_path, loop
):
    server = serving("--graceful-timeout", "2", "--asgi-loop", loop)
    websocket, events = connected(server, upgrade()), connected(server, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    silent = connected(server, upgrade())  # never answers the close frame
    for client, wanted in ((websocket, b"\r\n\r\n"), (silent, b"\r\n\r\n"), (events, b"tick")):
        until_in(client, wanted)
    until(lambda: server.metric("worker_connections", worker="0") == 3)
    server.signal(signal.SIGTERM)
    websocket.sendall(frame(b"still here"))
    until_in(websocket, b"still here")

    assert rest(websocket).startswith(b"\x88" + bytes([2 + 15]) + struct.pack("!H", 1012))
    assert rest(events).endswith(b"data: last\r\n0\r\n\r\n")
    assert server.process.wait(timeout=20) == 0
    assert (tmp_path / "websocket-ended").read_text() == "1012"
    for name in ("events-ended", "lifespan-ended"):
        assert (tmp_path / name).exists()
    for word in ("TIMEOUT", "Traceback", "Killing"):
        assert word not in server.log()


def test_frames_that_come_with_the_upgrade_reach_the_websocket(serving, connected):
    server = serving()
    client = connected(server, upgrade() + frame(b"first") + frame(b"second"))
    until_in(client, b"\x81\x05first\x81\x06second")
    client.sendall(frame(b"third"))
    until_in(client, b"\x81\x05third")


def test_a_body_of_an_upgrade_is_no_frames(serving, connected):
    server = serving()
    head = upgrade().replace(b"Host: x", b"Host: x\r\nContent-Length: 5")
    client = connected(server, head + b"bo")
    time.sleep(0.1)  # so that it comes alone
    client.sendall(b"dy!" + frame(b"first"))
    until_in(client, b"\x81\x05first")


@pytest.mark.parametrize("worker_class", ["asgi", "tornado"])
def test_within_the_drain_each_response_is_its_connections_last(launch, until, worker_class):
    server = launch("-k", worker_class, "--drain-seconds", "30", "--keep-alive", "15")

    def answer():
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return until_in(client, b"\r\n\r\n")

    assert b"Connection: close" not in answer()
    kept = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    with contextlib.closing(kept):
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until_in(kept, b"\r\n\r\n")
        server.signal(signal.SIGTERM)
        until(lambda: b"Connection: close" in answer())
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" in rest(kept)
    server.signal(signal.SIGINT)
    assert server.process.wait(timeout=10) == 0
