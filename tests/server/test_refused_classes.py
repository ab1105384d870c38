"""A switch to a class that would not honour what the configuration uses is refused, and the tuner is not offered it."""

from __future__ import annotations

import json
import socket

import pytest

pytestmark = pytest.mark.integration

TORNADO = json.dumps({"workerClass": "tornado", "workers": 1, "threads": 1, "workerConnections": 100})
PROXIED = b"PROXY TCP4 203.0.113.9 10.0.0.1 5555 80\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def offered(server):
    """Return the classes that the tuner may choose from."""
    samples = (dict(labels) for name, labels in server.scrape() if name == "stablehand_available_worker_class_info")
    return {labels["worker_class"] for labels in samples}


def test_a_switch_that_would_lose_the_proxy_protocol_is_refused_counted_and_never_offered(launch, until):
    server = launch("--workers", "1", "--proxy-protocol", "v1")
    until(lambda: "gthread" in offered(server))
    assert "tornado" not in offered(server)

    server.write(TORNADO)
    until(lambda: server.switches("rejected") == 1)
    assert server.metric("settings_refused") == 1
    assert "worker class tornado does not honour --proxy-protocol" in server.log()
    assert server.active()[0] == "sync"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(PROXIED)
        assert client.recv(100).startswith(b"HTTP/1.1 200")

    server.configure("gthread", 1, 2)
    assert server.metric("settings_refused") == 0


def test_what_gunicorn_starts_with_starts_here_too_with_a_warning(launch, until):
    server = launch("--workers", "1", "--worker-class", "tornado", "--proxy-protocol", "v1")
    assert "As under gunicorn, worker class tornado does not honour --proxy-protocol" in server.log()
    until(lambda: "tornado" in offered(server))

    server.write(TORNADO.replace("100", "90"))
    until(lambda: server.switches("done") == 1)
    assert server.get()[0] == 200


def test_a_reload_that_asks_for_more_excludes_more(launch, until, tmp_path):
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("")
    server = launch("--workers", "1")
    until(lambda: {"tornado", "gevent"} <= offered(server))
    file.write_text("preload_app = True\naccesslog = '-'\n")
    server.process.send_signal(1)
    until(lambda: not {"tornado", "gevent", "eventlet"} & offered(server))
    assert "gthread" in offered(server)
