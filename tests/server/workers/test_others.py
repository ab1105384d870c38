"""Worker classes of others get the app as it is, serve as under gunicorn, and are measured as far as that goes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

OWN_CLASSES = """
import select

from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker


class Sync(SyncWorker):
    def handle_request(self, listener, req, client, addr):
        return super().handle_request(listener, req, client, addr)


class Threads(ThreadWorker):
    pass


class Alone(Worker):
    \"\"\"Speaks just enough HTTP.\"\"\"

    def run(self):
        while self.alive:
            self.notify()
            if select.select(self.sockets, [], [], 0.2)[0]:
                client, _ = self.sockets[0].accept()
                with client:
                    client.recv(4096)
                    body = b"".join(self.wsgi({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))
                    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
"""
WSGI_APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
AIOHTTP_APP = """
from aiohttp import web

async def hello(request):
    return web.Response(text="hello")

def build():
    made = web.Application()
    made.router.add_get("/", hello)
    return made

app = build()

async def factory():
    return build()
"""
LOOKS_AT_THE_APP = """
import served

def post_worker_init(worker):
    assert worker.wsgi is served.app is worker.app.callable or worker.wsgi is getattr(served, "factory", None)
"""


@pytest.fixture
def serve(launch, tmp_path):
    """Start a server with a class of others."""

    def start(worker_class, *flags, source=WSGI_APP, name="app"):
        (tmp_path / "own.py").write_text(OWN_CLASSES)
        (tmp_path / "served.py").write_text(source)
        (tmp_path / "gunicorn.conf.py").write_text(LOOKS_AT_THE_APP)
        return launch("--worker-class", worker_class, *flags, app=f"served:{name}", PYTHONPATH=str(tmp_path))

    return start


@pytest.mark.parametrize(("worker_class", "slots"), [("own.Sync", 1), ("own.Threads", 3), ("gevent_pywsgi", 1)])
def test_requests_that_gunicorns_code_serves_are_counted(serve, until, worker_class, slots):
    server = serve(worker_class, "--threads", "3")

    assert server.get() == (200, "hello")
    until(lambda: server.metric("worker_requests_total", worker="0", code="2xx") == 1)
    until(lambda: server.metric("worker_busy_slots", worker="0") == 0)
    assert server.metric("worker_slots", worker="0") == slots
    assert server.metric("request_duration_seconds_count") == 1


@pytest.mark.parametrize(
    ("worker_class", "source", "name"),
    [
        ("own.Alone", WSGI_APP, "app"),
        ("aiohttp.GunicornWebWorker", AIOHTTP_APP, "app"),
        ("aiohttp.GunicornWebWorker", AIOHTTP_APP, "factory"),
    ],
)
def test_where_nobody_counts_the_requests_their_metrics_are_missing_and_not_zero(serve, worker_class, source, name):
    server = serve(worker_class, source=source, name=name)
    assert server.get() == (200, "hello")

    shown = {name for name, _ in server.scrape()}
    assert not {each for each in shown if "request" in each or "busy" in each or "connections" in each}
    assert {"stablehand_worker_cpu_seconds_total", "stablehand_worker_resident_memory_bytes"} <= shown
    assert server.metric("worker_info", worker="0", worker_class="custom") == 1


def test_a_class_of_others_ends_by_itself_after_max_requests_as_under_gunicorn(serve, until):
    server = serve("aiohttp.GunicornWebWorker", "--max-requests", "2", source=AIOHTTP_APP)
    first = server.workers()

    def replaced():
        try:
            server.get()
        except OSError:
            return False  # between the two, as under gunicorn
        return not first & server.workers()

    until(replaced)
    assert server.get() == (200, "hello")
