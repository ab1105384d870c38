from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

APP = """
import socket, time, threading
PATCHED = socket.socket.__module__.startswith("eventlet")

def app(environ, start_response):
    file = environ["PATH_INFO"] == "/file"
    body = repr((PATCHED, environ["wsgi.multithread"])).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if file:
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return [body]
"""


def test_the_standard_library_is_patched_before_the_app_loads(launch, tmp_path):
    (tmp_path / "patched.py").write_text(APP)
    server = launch("-k", "eventlet", app="patched:app", PYTHONPATH=str(tmp_path))

    assert server.get() == (200, "(True, True)")
    assert server.get("/file") == (200, APP)
    assert server.active()[0] == "eventlet"
    assert "deprecated" not in server.log()


def test_warnings_that_are_errors_do_not_keep_the_class_from_running(launch):
    server = launch("-k", "eventlet", "--workers", "2", PYTHONWARNINGS="error")

    assert server.get()[0] == 200


def test_no_more_connections_are_served_than_the_settings_say(launch, until):
    server = launch("-k", "eventlet", "--worker-connections", "4")
    assert server.metric("worker_slots", worker="0") == 4
    with server.load(12, query="?0.05", keep_alive=False) as load:
        until(lambda: load.series)
        assert {server.metric("worker_busy_slots", worker="0") <= 4 for _ in range(10)} == {True}
        result = load.stop()
    assert result.failures == {}
