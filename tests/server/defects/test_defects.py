"""What plain gunicorn gets wrong, and this server must not: each test fails there and passes here."""

from __future__ import annotations

import contextlib
import http.client
import signal
import time

import pytest

pytestmark = pytest.mark.integration

REQUEST = b"GET /?0.001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SLOW_IMPORT = """
import time
from pathlib import Path
if Path("slow").exists():
    time.sleep(1.5)
from serving import app
"""


@pytest.fixture
def reload(tmp_path):
    """Write a configuration, and tell the server to read it."""
    path = tmp_path / "gunicorn.conf.py"

    def write(text, server=None):
        path.write_text(text)
        if server is not None:
            server.process.send_signal(signal.SIGHUP)
        return f"--config={path}"

    return write


@pytest.mark.parametrize(
    "bad", ["worker_class = 'no.such.Class'\n", "workers = 'many'\n", "wsgi_app = 'no_such_module:app'\n", "this is no"]
)
def test_a_bad_reload_does_not_end_the_server(serve, reload, comes, bad):
    server = serve(
        "serving:app" if "wsgi_app" not in bad else reload("wsgi_app = 'serving:app'\n"),
        reload("wsgi_app = 'serving:app'\n"),
    )
    seen = len(server.log())
    reload(bad, server)

    comes(lambda: server.process.poll() is not None or "Error" in server.log()[seen:], 5)
    comes(lambda: server.process.poll() is not None, 1)
    assert server.process.poll() is None, server.log()
    assert server.answers()


@pytest.fixture
def slow(tmp_path):
    """An app whose import takes long from now on, once the server has it."""
    (tmp_path / "slow_app.py").write_text(SLOW_IMPORT)
    return tmp_path / "slow"


def reloaded(server, before):
    return server.log()[before:].count("Booting worker") >= 2


def test_a_reload_of_an_app_that_imports_slowly_makes_no_request_wait(serve, slow, until):
    server = serve("slow_app:app", "--workers=2", "--worker-class=gthread", "--threads=8")
    slow.touch()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        seen = len(server.log())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: reloaded(server, seen))
        served = len(load.series)
        until(lambda: len(load.series) >= served + 3)
        result = load.stop()

    assert not result.failures, result.examples
    assert result.latencies.quantile(1.0) < 1.0


def test_a_reload_takes_the_memory_of_one_more_worker_not_of_all_again(serve, slow, until):
    server = serve("slow_app:app", "--workers=3")
    until(lambda: server.log().count("Booting worker") == 3)
    before, most, seen = server.descendants(), 0, len(server.log())
    slow.touch()
    server.process.send_signal(signal.SIGHUP)

    def three_are_new():
        nonlocal most
        most = max(most, server.descendants())
        return server.log()[seen:].count("Booting worker") == 3

    until(three_are_new)
    assert most <= before + 1


@pytest.mark.parametrize(
    "flags", [("--workers=1",), ("--worker-class=gthread", "--threads=4")], ids=["sync", "gthread"]
)
def test_clients_that_do_not_close_their_side_hold_up_no_others(serve, flags):
    server = serve("serving:app", *flags)
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        for _ in range(3):
            client = stack.enter_context(server.connect())
            client.sendall(REQUEST)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        server.get()
        assert time.monotonic() - began < 3.0, "two seconds for each of them"


def test_connections_without_a_request_take_no_thread(serve):
    server = serve("serving:app", "--worker-class=gthread", "--threads=4")
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(server.connect())
        began = time.monotonic()
        assert server.get(timeout=20) == 200
        assert time.monotonic() - began < 3.0, "five seconds for each round of four"


def test_a_request_that_is_stuck_in_a_thread_times_out(serve, comes):
    server = serve("serving:app", "--worker-class=gthread", "--threads=2", "--timeout=2", ours=("--request-timeout=2",))
    with server.connect() as client:
        client.sendall(b"GET /?600 HTTP/1.1\r\nHost: x\r\n\r\n")
        client.setblocking(False)
        assert comes(lambda: ended(client), 12)
    assert server.answers()


def ended(client):
    """Whether the server has ended a connection on which it has not answered."""
    try:
        return client.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


HANGING = """
import time
from pathlib import Path
if not Path("hung").exists():
    Path("hung").touch()
    time.sleep(600)
from serving import app
"""


def test_a_worker_that_hangs_while_it_boots_times_out(serve, tmp_path, until, comes):
    (tmp_path / "hanging.py").write_text(HANGING)
    server = serve("hanging:app", "--timeout=2", ours=("--boot-timeout=2",), ready=False)
    until((tmp_path / "hung").exists)

    assert comes(server.answers, 12)


def test_a_request_on_a_kept_connection_of_a_worker_that_retires_is_answered(serve, until, comes):
    server = serve("serving:app", "--worker-class=gthread", "--threads=4", "--keep-alive=30")
    seen = len(server.log())
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        assert ask(client) == 200
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "Booting worker" in server.log()[seen:])
        comes(lambda: "Worker exiting" in server.log()[seen:], 3)  # what has ours wait for a last request
        assert ask(client) == 200


def ask(client):
    """Return the status of a request on a connection that is open, 0 where it was cut."""
    try:
        client.request("GET", "/")
        response = client.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    return response.status


def test_a_read_only_home_is_no_error(serve, tmp_path, comes):
    home = tmp_path / "home"
    home.write_text("a file, in which no folder can be made")
    server = serve("serving:app", HOME=str(home))

    assert not comes(lambda: "rror" in server.log(), 2), server.log()
