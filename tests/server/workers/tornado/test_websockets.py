from __future__ import annotations

import signal
import time

import pytest

pytestmark = pytest.mark.integration

APP = """
from pathlib import Path
from tornado import web, websocket

class Echo(websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

    def on_close(self):
        Path("closed").write_text(str(self.close_code))

class Index(web.RequestHandler):
    def get(self):
        self.write("ok")

app = web.Application([("/", Index), ("/ws", Echo)])
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


def test_a_websocket_is_closed_as_its_protocol_has_it_when_the_server_ends(serving, until, websocket, tmp_path):
    server = serving("--graceful-timeout", "1")
    client = websocket(server.port)
    assert client.echo(b"here") == b"here"

    server.signal(signal.SIGTERM)

    assert client.close_code() == 1012
    assert server.process.wait(timeout=20) == 0
    assert (tmp_path / "closed").read_text() == "1012"


def test_websockets_count_against_the_limit_of_connections(serving, until, websocket):
    server = serving("--worker-connections", "1")
    client = websocket(server.port)
    until(lambda: server.metric("worker_connections", worker="0") == 1)

    client.end()

    assert server.get()[1] == "ok"
