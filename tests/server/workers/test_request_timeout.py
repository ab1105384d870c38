"""--request-timeout, and what happens without it."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

pytestmark = pytest.mark.integration

APP = """
import os, pathlib, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    pid = str(os.getpid()).encode()
    if path == "/stuck":
        pathlib.Path("stuck").touch()
        time.sleep(600)
    if path == "/poll":
        time.sleep(5)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return stream(pid)
    start_response("200 OK", [("Content-Length", str(len(pid)))])
    return [pid]

def stream(pid):
    yield b"data: " + pid
    time.sleep(5)
    yield b"data: late"
"""


@pytest.fixture
def app(tmp_path):
    (tmp_path / "waiting.py").write_text(APP)
    return {"app": "waiting:app", "PYTHONPATH": str(tmp_path)}


def ask(server, path, answers):
    """Note how one request ends that may be cut."""
    try:
        answers[path] = server.get(path)
    except OSError as error:
        answers[path] = type(error).__name__


def in_background(server, answers, *paths):
    asking = [threading.Thread(target=ask, args=(server, path, answers)) for path in paths]
    for each in asking:
        each.start()
    return asking


@pytest.mark.parametrize("timeout", ["2", "0"])
def test_without_the_flag_a_silent_request_may_last_longer_than_the_timeout(launch, until, app, timeout):
    server = launch("--worker-class", "gthread", "--threads", "3", "--timeout", timeout, **app)
    (worker,) = server.workers()
    answers = {}
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost")  # the third thread reads it
        for each in in_background(server, answers, "/poll", "/stream"):
            each.join()
        half.sendall(b": x\r\n\r\n")
        assert half.recv(1000).startswith(b"HTTP/1.1 200")

    assert answers == {"/poll": (200, str(worker)), "/stream": (200, f"data: {worker}data: late")}
    assert server.workers() == {worker}
    assert server.metric("worker_exits_total", reason="timeout") == 0


@pytest.mark.parametrize("worker_class", ["gthread", "asgi"])
def test_a_request_beyond_the_limit_is_ended_when_the_successor_of_its_worker_serves(
    launch, until, app, tmp_path, worker_class
):
    server = launch("--worker-class", worker_class, "--threads", "1", "--request-timeout", "1", **app)
    (worker,) = server.workers()
    with server.load(2, keep_alive=False) as load:
        until(lambda: load.last().completed)
        with contextlib.closing(connect(server)) as stuck:
            stuck.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
            until((tmp_path / "stuck").exists)
            # the only thread is stuck: another one takes its place until the successor has come
            until(lambda: server.metric("worker_exits_total", reason="timeout") == 1)
            assert stuck.recv(1000) == b""
        result = load.stop()

    assert result.failures == {}, result.examples
    assert worker not in server.workers()
    log = server.log().splitlines()
    (overdue,) = [n for n, line in enumerate(log) if "another worker takes" in line]
    (ended,) = [n for n, line in enumerate(log) if "Request GET /stuck is ended" in line]
    boots = [n for n, line in enumerate(log) if "Booting worker" in line]
    assert boots[0] < overdue < boots[1] < ended
    assert len(boots) == 2


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)
