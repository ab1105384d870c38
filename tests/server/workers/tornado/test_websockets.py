from __future__ import annotations

import signal
import socket
import time

import pytest

pytestmark = pytest.mark.integration

APP = """
import asyncio
from pathlib import Path
from tornado import web, websocket

class Echo(websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

    def on_close(self):
        Path("closed").write_text(str(self.close_code))

class Events(web.RequestHandler):
    def initialize(self):
        self.left = asyncio.Event()

    def on_connection_close(self):
        self.left.set()

    async def get(self):
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.write("data: here\\n\\n")
        await self.flush()
        await self.left.wait()
        Path("left").touch()

class Index(web.RequestHandler):
    def get(self):
        self.write("ok")

app = web.Application([("/", Index), ("/ws", Echo), ("/events", Events)])
"""


@pytest.fixture
def serving(launch, tmp_path):
    (tmp_path / "echoing.py").write_text(APP)

    def serve(*flags):
        return launch("-k", "tornado", *flags, app="echoing:app", PYTHONPATH=str(tmp_path))

    return serve


def test_a_websocket_counts_as_a_connection_and_survives_a_change_beyond_every_time_limit(serving, until, websocket):
    server = serving("--graceful-timeout", "1", "--keep-alive", "1")
    client = websocket(server.port)
    until(lambda: server.metric("worker_connections", worker="0") == 1)

    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1 and server.get()[1] == "ok")
    for _ in range(3):
        time.sleep(1.0)  # the client is silent for as long as each of the limits
        assert client.echo(b"here") == b"here"
    assert server.metric("workers", state="retiring") == 1
    client.end()
    until(lambda: server.settled(1))
    assert server.metric("worker_exits_total", reason="timeout") == 0


def test_websockets_and_event_streams_end_as_their_protocols_have_it_when_the_server_ends(
    serving, until, websocket, tmp_path
):
    server = serving("--graceful-timeout", "1")
    client = websocket(server.port)
    assert client.echo(b"here") == b"here"
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as events,
        events.makefile("rb") as streamed,
    ):
        events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        while streamed.readline() != b"data: here\n":
            pass

        server.signal(signal.SIGTERM)

        assert client.close_code() == 1012
        assert streamed.read().endswith(b"\r\n0\r\n\r\n")
    assert server.process.wait(timeout=20) == 0
    assert (tmp_path / "closed").read_text() == "1012"
    assert (tmp_path / "left").exists()


def test_websockets_count_against_the_limit_of_connections(serving, until, websocket):
    server = serving("--worker-connections", "1")
    client = websocket(server.port)
    until(lambda: server.metric("worker_connections", worker="0") == 1)

    client.end()

    assert server.get()[1] == "ok"
