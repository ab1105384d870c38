"""--reuse-port: what waits in a retiring worker's own queue, which no other worker accepts from, is answered too."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

import pytest

pytestmark = pytest.mark.integration

APP = """
import os, pathlib, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/blocks":
        pathlib.Path("inside").touch()
        while not pathlib.Path("go-on").exists():
            pass  # not even another green thread runs
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
WAITING = 20


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi"])
def test_a_retiring_worker_answers_what_waits_in_a_queue_of_its_own(launch, until, tmp_path, worker_class):
    (tmp_path / "blocking.py").write_text(APP)
    server = launch("--reuse-port", "--worker-class", worker_class, app="blocking:app", PYTHONPATH=str(tmp_path))
    (worker,) = server.workers()
    blocking = threading.Thread(target=lambda: server.get("/blocks"))
    blocking.start()
    with contextlib.ExitStack() as stack:
        stack.callback(blocking.join)
        stack.callback((tmp_path / "go-on").touch)
        until((tmp_path / "inside").exists)
        waiting = []
        for _ in range(WAITING):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            waiting.append(stack.enter_context(client.makefile("rb")))
        os.kill(worker, signal.SIGTERM)
        (tmp_path / "go-on").touch()

        assert {answer.read().rpartition(b"\r\n\r\n")[2] for answer in waiting} == {str(worker).encode()}
