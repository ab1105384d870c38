"""Apps of other people run unmodified under every class that suits them, and go on serving from one to the next."""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple

import pytest

from stablehand_dev.load import BackgroundLoad, Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WSGI_CLASSES = (("sync", 1), ("gthread", 4), ("gevent", 1), ("eventlet", 1), ("tornado", 1), ("asgi", 4))
LOADED = 300


class Exchange(NamedTuple):
    """A request, and what must be in its answer."""

    method: str
    path: str
    status: int
    part: str
    body: str | None = None
    type: str | None = None


RADICALE = """
[auth]
type = none
[storage]
filesystem_folder = collections
"""
APPS = {
    # Flask
    "httpbin": (
        "httpbin:app",
        {},
        "/get?x=1",
        [
            Exchange("GET", "/get?x=1", 200, '"x": "1"'),
            Exchange("POST", "/post", 200, '"data": "some words"', "some words", "text/plain"),
            Exchange("GET", "/status/418", 418, "teapot"),
            Exchange("GET", "/stream/3", 200, '"id": 2'),
            Exchange("GET", "/gzip", 200, ""),
            Exchange("HEAD", "/get", 200, ""),
        ],
    ),
    # Bottle
    "pypiserver": (
        "pypiserver:app(roots=['packages'], password_file='.', authenticate=[])",
        {"packages/shop-1.0.tar.gz": "not really one"},
        "/simple/",
        [
            Exchange("GET", "/simple/", 200, '<a href="shop/">'),
            Exchange("GET", "/simple/shop/", 200, "shop-1.0.tar.gz"),
            Exchange("GET", "/packages/shop-1.0.tar.gz", 200, "not really one"),
            Exchange("GET", "/packages/none-1.0.tar.gz", 404, ""),
        ],
    ),
    # Plain WSGI
    "radicale": (
        "radicale:application",
        {"radicale.ini": RADICALE},
        "/.web/",
        [
            Exchange("GET", "/.web/", 200, "Radicale"),
            Exchange("PROPFIND", "/", 207, "multistatus", "<propfind xmlns='DAV:'><prop/></propfind>", "text/xml"),
            Exchange("GET", "/nowhere/at/all", 404, ""),
        ],
    ),
}
DATASETTE = "from datasette.app import Datasette\napp = Datasette(memory=True).app()\n"


@pytest.mark.parametrize("name", APPS)
def test_a_wsgi_app_of_other_people_works_under_every_class_and_through_every_switch(launch_real, tmp_path, name):
    uri, files, load_path, exchanges = APPS[name]
    write(tmp_path, files)
    server = launch_real("--workers", "2", app=uri, RADICALE_CONFIG="radicale.ini")
    url = f"http://127.0.0.1:{server.port}{load_path}"
    with BackgroundLoad(Load(url, connections=4, duration=250)) as load:
        for worker_class, threads in WSGI_CLASSES:
            server.configure(worker_class, 2, threads)
            for exchange in exchanges:
                check(server, exchange, worker_class)
        result = load.stop()
    assert result.failures == {}, result.examples
    assert result.completed > LOADED
    assert server.switches("done") == len(WSGI_CLASSES) - 1
    assert server.metric("worker_requests_total", worker="0", code="error") == 0


def test_an_asgi_app_of_other_people_works_natively(launch_real, until, tmp_path):
    write(tmp_path, {"our_datasette.py": DATASETTE})
    server = launch_real("--workers", "2", "-k", "asgi", app="our_datasette:app")
    url = f"http://127.0.0.1:{server.port}/-/versions.json"
    query = "/_memory.json?sql=select+6*7+as+answer&_shape=array"
    with BackgroundLoad(Load(url, connections=4, duration=250)) as load:
        until(lambda: load.last().completed)
        for fields in ({"workers": 1, "workerConnections": 50}, {"workers": 2, "workerConnections": 20}):
            done = server.switches("done")
            server.write(json.dumps({"workerClass": "asgi", "threads": 1, **fields}))
            until(lambda done=done: server.switches("done") > done)
            check(server, Exchange("GET", query, 200, '"answer": 42'), "asgi")
            check(server, Exchange("GET", "/-/static/app.css", 200, "body"), "asgi")
            check(server, Exchange("GET", "/nowhere", 404, ""), "asgi")
        result = load.stop()
    assert result.failures == {}, result.examples
    assert result.completed > LOADED
    assert server.metric("worker_slots", worker="0") == 20
    assert server.metric("worker_requests_total", worker="0", code="error") == 0


def check(server, exchange, worker_class):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        headers = {"Content-Type": exchange.type} if exchange.type else {}
        connection.request(exchange.method, exchange.path, body=exchange.body, headers=headers)
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
    finally:
        connection.close()
    found = exchange.part.replace(" ", "") in answer.replace(" ", "")  # JSON may be spaced or not
    assert (response.status, found) == (exchange.status, True), (worker_class, exchange, answer[:500])


def write(directory, files):
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(content)
