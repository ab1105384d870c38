"""An event stream, a long poll, a slowly read download and a websocket, over ten changes of every kind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MEBIBYTE = b"0123456789abcdef" * 65536
APPS = Path(__file__).parent / "apps"
HTTP = ("events", "poll", "download")
ALL = (*HTTP, "ws")
HUP = "HUP"


def each_number(worker_class, workers, threads):
    """More and fewer workers, threads and connections."""
    return [
        (worker_class, workers + 1, threads, 1000),
        (worker_class, workers, threads, 1000),
        (worker_class, workers, threads + 4, 1000) if worker_class != "sync" else (worker_class, workers + 2, 1, 1000),
        (worker_class, workers, threads, 1000),
        (worker_class, workers, threads, 1200),
        (worker_class, workers, threads, 1000),
    ]


def there_and_back(worker_class, workers, threads):
    """From class to class, and a reload."""
    others = [each for each in ("gthread", "gevent", "sync") if each != worker_class][:2]
    away = [(each, workers, 4 if each == "gthread" else 1, 1000) for each in others]
    return [*away, (worker_class, workers, threads, 1000), HUP]


CASES = {
    "sync": (("sync", 4, 1, 1000), "lasting", HTTP),
    "gthread": (("gthread", 2, 6, 1000), "lasting", ALL),
    "gevent": (("gevent", 2, 1, 1000), "lasting", ALL),
    "eventlet": (("eventlet", 2, 1, 1000), "lasting", ALL),
    "asgi with a WSGI app": (("asgi", 2, 6, 1000), "lasting", HTTP),
    "asgi": (("asgi", 2, 1, 1000), "asgi_lasting", ALL),
    "tornado": (("tornado", 2, 1, 1000), "tornado_lasting", ALL),
}


class Client(threading.Thread):
    """Asks for one thing, which takes long; `result` is what became of it."""

    def __init__(self, kind, port, finish, websocket=None):
        super().__init__(daemon=True)
        self.kind, self.port, self.finish = kind, port, finish
        self.result = "not begun"
        self.begun = threading.Event()
        self.websocket = websocket and websocket(port)
        self.start()

    def run(self):
        """Note what becomes of it."""
        try:
            self.result = self.talk() if self.websocket else self.ask()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.result = f"cut: {error!r}"
        self.begun.set()

    def talk(self):
        """Say something now and then over a websocket, and hear it back."""
        while not self.finish.wait(0.2):
            assert self.websocket.echo(b"here") == b"here"
            self.begun.set()
        self.websocket.end()
        return "whole"

    def ask(self):
        """Ask once, and read all of the answer."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request("GET", f"/{self.kind}")
            if self.kind == "poll":
                self.begun.set()
            response = connection.getresponse()
            first = response.read(12)
            self.begun.set()
            if self.kind == "download":
                return self.read_slowly(response, first)
            body = first + response.read()
            expected = b"ok" if self.kind == "poll" else b"data: end\n\n"
            return "whole" if response.status == 200 and body.endswith(expected) else f"{response.status} {body[-20:]}"

    def read_slowly(self, response, first):
        """Read the download at a pace that leaves the server waiting."""
        length, body = len(first), first
        while body:
            self.finish.wait(0.2)  # a mebibyte each time, and the rest at once when all changes are done
            body = response.read(len(MEBIBYTE))
            length += len(body)
        return "whole" if length == 100 * len(MEBIBYTE) else f"{length} bytes"


@contextlib.contextmanager
def clients(kinds, port, directory, websocket):
    """Begin all of them, each in the hands of a worker; what comes back ends them and tells the results."""
    finish = threading.Event()

    def end():
        finish.set()
        (directory / "finish").touch()
        for each in begun:
            each.join(timeout=100)
        return {each.kind: each.result for each in begun}

    begun = [Client(kind, port, finish, websocket if kind == "ws" else None) for kind in kinds]
    for each in begun:
        assert each.begun.wait(30), f"{each.kind} has not begun"
    try:
        yield end
    finally:
        end()


@pytest.mark.parametrize("case", CASES)
def test_nothing_that_takes_long_is_cut_by_ten_changes_or_counts_as_failed(launch, until, websocket, case):
    first, app, kinds = CASES[case]
    name, workers, threads, _ = first
    flags = ("--workers", str(workers), "--threads", str(threads), "--graceful-timeout", "1", "--keep-alive", "1")
    server = launch("-k", name, *flags, "--timeout", "250", "--retire-limit", "16", app=f"{app}:app")
    elsewhere = there_and_back(*first[:3]) if app == "lasting" else [(name, workers, threads, 900), first, HUP, HUP]
    changes = [*each_number(*first[:3]), *elsewhere]
    assert len(changes) == 10

    def runs(settings):
        states = {state: server.metric("workers", state=state) for state in ("booting", "ready")}
        return server.active() == settings[:3] and states == {"booting": 0, "ready": settings[1]}

    with clients(kinds, server.port, server.directory, websocket) as end:
        settings = first
        until(lambda: server.total("worker_connections") >= len(kinds) - (name == "sync"))
        for number, change in enumerate(changes, 1):
            if change == HUP:
                server.signal(signal.SIGHUP)
            else:
                fields = ("workerClass", "workers", "threads", "workerConnections")
                settings = change
                server.write(json.dumps(dict(zip(fields, change, strict=True))))
            until(lambda number=number: server.switches("done") == number, seconds=60)
            until(lambda settings=settings: runs(settings), seconds=60)
            assert server.get() == (200, "ok")
        assert server.metric("workers", state="retiring") >= 1
        assert server.total("worker_oldest_request_seconds") > 1
        results = end()

    assert results == dict.fromkeys(kinds, "whole"), server.log()
    until(lambda: server.settled(settings[1]), seconds=60)
    assert [server.total("worker_requests_total", code=code) for code in ("5xx", "error")] == [0, 0]
    for reason in ("timeout", "signal", "oom", "error"):
        assert server.metric("worker_exits_total", reason=reason) == 0
    assert "CRITICAL" not in server.log()


@pytest.mark.parametrize("worker_class", ["sync", "gthread"])
def test_plain_gunicorn_cuts_nothing_at_a_reload_either(tmp_path, until, websocket, worker_class):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    flags = ("--workers", "3", "--threads", "1" if worker_class == "sync" else "4", "--graceful-timeout", "1")
    command = [sys.executable, "-m", "gunicorn", "lasting:app", "-k", worker_class, "--bind", f"127.0.0.1:{free_port}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *flags], cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(APPS)}
        )
    try:

        def booted():
            return (tmp_path / "log").read_text().count("Booting worker")

        until(lambda: booted() == 3 and answers(free_port))
        with clients(HTTP, free_port, tmp_path, websocket) as end:
            process.send_signal(signal.SIGHUP)
            until(lambda: booted() >= 6 and answers(free_port))
            results = end()
        assert results == dict.fromkeys(HTTP, "whole")
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()


def answers(port):
    """Tell whether somebody serves."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
