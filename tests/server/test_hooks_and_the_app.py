"""Hooks that finish the app, look at it or put another one in its place, under every class and through every switch."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

CLASSES = (("sync", 1), ("gthread", 2), ("gevent", 1), ("eventlet", 1), ("tornado", 1), ("asgi", 2))
APP = """
class App:
    def __init__(self):
        self.routes = {"/": "index"}
        self.guards = []

    def __call__(self, environ, start_response):
        refusals = [answer for guard in self.guards if (answer := guard(environ))]
        body = refusals[0] if refusals else self.routes.get(environ["PATH_INFO"], "nothing")
        start_response("401 No" if refusals else "200 OK", [("Content-Length", str(len(body)))])
        return [body.encode()]

app = App()
"""
FINISHES_THE_APP = """
import finished

def post_worker_init(worker):
    app = worker.wsgi
    assert app is finished.app is worker.app.callable is worker.app.wsgi()
    assert isinstance(app, finished.App)
    app.routes["/late"] = "late"
    app.guards.append(lambda environ: None if environ.get("HTTP_X_KEY") == "k" else "no key")
"""
REPLACES_THE_APP = """
class Loud:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        start_response("201 Loud", [("Content-Length", "4")])
        return [b"LOUD"]

def post_worker_init(worker):
    worker.wsgi = Loud(worker.wsgi)
"""


def test_a_hook_finishes_the_app_under_every_class_and_after_every_switch(launch, tmp_path):
    (tmp_path / "finished.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(FINISHES_THE_APP)
    server = launch("--workers", "1", app="finished:app", PYTHONPATH=str(tmp_path))
    for worker_class, threads in CLASSES:
        server.configure(worker_class, 1, threads)
        answers = [server.get(path, headers=headers) for path, headers in (("/", {}), ("/late", {"X-Key": "k"}))]
        assert answers == [(401, "no key"), (200, "late")], worker_class


def test_an_app_that_a_hook_puts_in_its_place_is_served_and_measured_under_every_class(launch, until, tmp_path):
    (tmp_path / "finished.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(REPLACES_THE_APP)
    server = launch("--workers", "1", app="finished:app", PYTHONPATH=str(tmp_path))
    for served, (worker_class, threads) in enumerate(CLASSES, 1):
        server.configure(worker_class, 1, threads)
        assert server.get("/") == (201, "LOUD"), worker_class
        until(lambda served=served: server.metric("worker_requests_total", worker="0", code="2xx") == served)
        until(lambda: server.metric("worker_busy_slots", worker="0") == 0)


def test_a_hook_that_puts_another_app_in_place_after_a_request_is_followed(launch, tmp_path):
    (tmp_path / "finished.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(
        REPLACES_THE_APP.replace("def post_worker_init(worker)", "def post_request(worker, req, environ, resp)")
    )
    server = launch("--workers", "1", app="finished:app", PYTHONPATH=str(tmp_path))
    for worker_class in ("sync", "gthread", "gevent"):
        server.configure(worker_class, 1)
        assert server.get("/") == (200, "index"), worker_class
        assert server.get("/") == (201, "LOUD"), worker_class
