from __future__ import annotations

import contextlib
import socket

import pytest

pytestmark = pytest.mark.integration

LIMITED = ("bash", "-c", 'ulimit -n 64 && exec "$@"', "limited")


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi"])
def test_a_worker_without_a_descriptor_for_another_connection_waits_for_one(launch, until, worker_class):
    server = launch("--worker-class", worker_class, "--keep-alive", "30", wrapper=LIMITED)
    workers = server.workers()
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        until(lambda: "Too many open files" in server.log())
    until(lambda: server.get()[0] == 200)

    assert server.workers() == workers
    assert server.log().count("Too many open files") < 8
