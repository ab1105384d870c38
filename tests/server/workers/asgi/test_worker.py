from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def configure(server, until, **fields):
    """Write settings, and await them."""
    fields = {"workerClass": "asgi", "workers": 1, "threads": 1, "workerConnections": 1000, **fields}
    server.write(json.dumps(fields))
    until(lambda: server.active() == (fields["workerClass"], fields["workers"], fields["threads"]))
    until(lambda: server.settled(fields["workers"]))


def ask_at_once(server, count, path="/?0.3"):
    """Ask so many times at once, and return the answers' statuses."""
    statuses = []
    asking = [threading.Thread(target=lambda: statuses.append(server.get(path)[0])) for _ in range(count)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    return statuses


def test_an_asgi_app_has_as_many_slots_as_connections_and_no_more_are_accepted(launch, until):
    server = launch("-k", "asgi", "--worker-connections", "5", app="asgi_serving:app")
    assert server.metric("worker_slots", worker="0") == 5

    assert ask_at_once(server, 12) == [200] * 12
    assert server.get("/most")[1] == "5"


def test_a_wsgi_app_has_as_many_slots_as_threads(launch, until):
    server = launch()
    configure(server, until, threads=3)
    assert server.metric("worker_slots", worker="0") == 3

    asking = threading.Thread(target=ask_at_once, args=(server, 9))
    asking.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 3)
    asking.join()
    until(lambda: server.metric("worker_requests_total", worker="0", code="2xx") == 9)
    samples = server.scrape()
    # 9 requests of 0.3 s, 3 at a time: the last ones queued for 0.6 s, which is no time inside the app
    assert 2.6 < samples["stablehand_worker_busy_seconds_total", frozenset({("worker", "0")})] < 4.0
    assert samples["stablehand_request_queue_seconds_sum", frozenset()] > 1.5


@pytest.mark.parametrize("app", ["asgi_serving:app", "serving:app"])
def test_more_threads_or_connections_need_no_new_process(launch, until, app):
    server = launch("-k", "asgi", "--worker-connections", "10", "--threads", "2", app=app)
    before = server.workers()
    server.write('{"workerClass": "asgi", "workers": 1, "threads": 6, "workerConnections": 20}')
    until(lambda: server.metric("worker_slots", worker="0") == (20 if app.startswith("asgi") else 6))
    assert server.workers() == before
    assert ask_at_once(server, 20) == [200] * 20


def test_an_asgi_worker_leaves_the_listeners_backlog_as_long_as_it_was(launch, until):
    server = launch("--backlog", "500")
    limit = server.metric("listen_backlog_limit")
    configure(server, until)
    until(lambda: server.metric("listen_backlog_limit") == limit)
    server.configure("sync", 1)
    assert (
        server.metric("listen_backlog_limit")
        == limit
        == min(500, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    )


def test_the_lifespan_begins_before_the_first_request_and_ends_with_the_worker(launch, until):
    server = launch("-k", "asgi", app="asgi_serving:app")
    assert server.get("/state") == (200, "set in the lifespan")

    server.signal(signal.SIGTERM)
    server.process.wait(timeout=20)
    assert (server.directory / "lifespan-ended").exists()


def test_a_lifespan_that_fails_at_the_start_ends_it_with_the_apps_own_words(start):
    server = start("-k", "asgi", app="asgi_serving:app")
    server.boot_fault.write_text("no database")

    assert server.process.wait(timeout=20) != 0
    assert "no database" in server.termination_log.read_text()


def test_a_lifespan_that_fails_after_a_change_rolls_it_back(launch, until):
    server = launch("-k", "asgi", app="asgi_serving:app")
    before = server.workers()
    server.boot_fault.write_text("no database")
    server.write('{"workerClass": "asgi", "workers": 2, "threads": 1, "workerConnections": 1000}')

    until(lambda: server.switches("rolled_back") == 1)
    assert "no database" in server.log()
    assert server.workers() == before
    assert server.get()[0] == 200


def test_an_app_that_raises_is_answered_for_and_counted_as_an_error(launch, until):
    server = launch("-k", "asgi", app="asgi_serving:app")
    assert server.get("/fail")[0] == 500
    until(lambda: server.metric("worker_requests_total", worker="0", code="error") == 1)


def test_a_websocket_works_counts_once_and_holds_no_slot(launch, until):
    server = launch("-k", "asgi", app="asgi_serving:app")
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        key = base64.b64encode(os.urandom(16)).decode()
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        mask = os.urandom(4)
        text = b"hello"
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
        client.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + masked)
        assert client.recv(100) == b"\x81\x05hello"
        until(lambda: server.metric("worker_requests_total", worker="0", code="1xx") == 1)
        assert server.metric("worker_busy_slots", worker="0") == 0
        until(lambda: server.metric("worker_connections", worker="0") == 1)


def test_a_wsgi_apps_thread_comes_free_when_the_client_of_its_endless_response_has_gone(launch, until, tmp_path):
    (tmp_path / "endless.py").write_text(
        "import itertools, time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    if environ['PATH_INFO'] == '/endless':\n"
        "        return (b'x' * 1000 for _ in itertools.count() if time.sleep(0.01) is None)\n"
        "    return [b'ok']\n"
    )
    server = launch("-k", "asgi", "--threads", "1", app="endless:app", PYTHONPATH=str(tmp_path))
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10)
        assert server.metric("worker_busy_slots", worker="0") == 1

    until(lambda: server.metric("worker_busy_slots", worker="0") == 0)
    assert server.get()[0] == 200


def test_an_asgi_app_by_a_unix_socket_is_told_so(launch, until, tmp_path):
    (tmp_path / "telling.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        raise RuntimeError('no lifespan')\n"
        "    body = repr((scope['server'], scope['client'])).encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    path = tmp_path / "socket"
    server = launch("-k", "asgi", "--bind", f"unix:{path}", app="telling:app", PYTHONPATH=str(tmp_path))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(1000):
            answer += part
    assert answer.endswith(f"(({str(path)!r}, None), None)".encode())
    until(lambda: server.metric("worker_requests_total", worker="0", code="2xx") == 1)
