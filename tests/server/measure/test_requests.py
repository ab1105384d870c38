"""The requests of gunicorn's own classes are measured around its `handle_request`, without a wrapper around the app."""

from __future__ import annotations

import math
import os
import socket
from types import SimpleNamespace

import pytest
from gunicorn import http
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.workers import base_async, gthread, sync

from stablehand_server.config import flags  # noqa: F401 (its import adds our settings to gunicorn's configuration)
from stablehand_server.shared_memory import SIZES, Cell, Slots
from stablehand_server.workers.common.base import Assignment
from stablehand_server.workers.others import measured_class
from stablehand_tuner.contracts.metric_names import NOTED_STATUSES, STATUS_CODES

BASES = [sync.SyncWorker, gthread.ThreadWorker, base_async.AsyncWorker]


class Served:
    """A worker that serves requests of one connection, and what was recorded and sent."""

    def __init__(self, base, app, settings):
        config = Config()
        for name, value in settings.items():
            config.set(name, value)
        self.record = Slots().allocate(index=0, age=1, worker_class=-1, slots=1)
        self.config = config
        self.base = base
        self.ours, self.client = socket.socketpair()
        loaded = SimpleNamespace(wsgi=lambda: app)
        assignment = Assignment(0, 1, self.record)
        self.worker = measured_class(base)(
            1, os.getpid(), [], loaded, 30, config, Logger(config), assignment=assignment
        )
        self.worker.load_wsgi()

    def ask(self, request=b"GET /shop HTTP/1.1\r\nHost: x\r\n\r\n"):
        """Serve one request; return what `handle_request` returned or raised."""
        self.client.sendall(request)
        parsed = next(http.get_parser(self.config, self.ours, ("192.0.2.1", 5)))
        name = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 80))
        if self.base is gthread.ThreadWorker:
            self.worker.max_keepalived, self.worker.keepalived_conns = 9, {}
            connection = SimpleNamespace(sock=self.ours, client=("192.0.2.1", 5), server=("127.0.0.1", 80))
            arguments = (parsed, connection)
        else:
            listener = name if self.base is sync.SyncWorker else ("127.0.0.1", 80)
            arguments = (listener, parsed, self.ours, ("192.0.2.1", 5))
        try:
            return self.worker.handle_request(*arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (as the caller does in gunicorn)
            return error

    def answer(self):
        """Return what has been sent."""
        return self.client.recv(65536)

    @property
    def busy(self):
        """Requests inside the app."""
        return self.record.cells[Cell.BUSY]

    @property
    def finished(self):
        """Finished requests by class of status, without the zeros."""
        cells = self.record.cells
        counts = zip(STATUS_CODES, cells[Cell.REQUESTS : Cell.REQUESTS + len(STATUS_CODES)], strict=True)
        return {code: count for code, count in counts if count}


@pytest.fixture(params=BASES, ids=lambda base: base.__name__)
def serving(request, monkeypatch):
    """Make a worker of each of the classes that serve by gunicorn's code."""
    monkeypatch.setattr(wsgi, "create", wsgi.create)  # a worker replaces it: in a test for as long as the test takes
    made = []

    def serve(app, **settings):
        made.append(Served(request.param, app, settings))
        return made[-1]

    yield serve
    for each in made:
        each.ours.close()
        each.client.close()
        each.worker.tmp.close()


def answering(status="200 OK", body=(b"body",)):
    def app(environ, start_response):
        start_response(status, [("Content-Length", str(sum(map(len, body))))])
        return body

    return app


@pytest.mark.parametrize(("status", "code"), [("204 No Content", "2xx"), ("404 Not Found", "4xx"), ("503 No", "5xx")])
def test_a_request_is_counted_by_its_class_of_status(serving, status, code):
    served = serving(answering(status, ()))
    served.ask()

    assert (served.busy, served.finished) == (0, {code: 1})


def test_a_status_that_tells_a_broken_app_is_counted_besides_its_class(serving):
    served = serving(answering("401 Unauthorized", ()))
    served.ask()
    served.ask()

    cells = served.record.cells
    noted = dict(zip(NOTED_STATUSES, cells[Cell.NOTED : Cell.NOTED + len(NOTED_STATUSES)], strict=True))
    assert noted == {"401": 2, "403": 0, "404": 0, "409": 0, "429": 0}
    assert served.finished == {"4xx": 2}


@pytest.mark.parametrize(("body", "bucket"), [((), 0), ((b"x" * 8,), 0), ((b"x" * 9,), 1), ((b"x" * 600, b"y"), 7)])
def test_the_size_of_a_successful_response_is_counted(serving, body, bucket):
    served = serving(answering(body=body))
    served.ask()

    sizes = list(served.record.cells[Cell.BODY_BUCKETS : Cell.BODY_BUCKETS + SIZES])
    assert [place for place, count in enumerate(sizes) if count] == [bucket]
    assert served.record.cells[Cell.BODY_BYTES] == sum(map(len, body))


def test_the_size_of_a_failed_response_is_not_counted(serving):
    served = serving(answering("500 No", (b"a page about the error",)))
    served.ask()

    assert served.record.cells[Cell.BODY_BYTES] == 0


def test_a_file_that_the_kernel_sends_is_as_large_as_announced(serving, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3000)
    file = path.open("rb")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "3000")])
        return environ["wsgi.file_wrapper"](file)

    served = serving(app)
    served.ask()
    file.close()

    assert served.record.cells[Cell.BODY_BYTES] == 3000


def test_the_app_is_what_the_worker_shows_and_what_is_called(serving):
    seen = []

    def app(environ, start_response):
        seen.append((served.worker.wsgi is app, served.busy, environ["PATH_INFO"], start_response.__self__))
        return answering()(environ, start_response)

    served = serving(app)
    served.ask()
    assert served.worker.wsgi is app
    assert [each[:3] for each in seen] == [(True, 1, "/shop")]
    assert isinstance(seen[0][3], wsgi.Response)


def test_a_response_class_that_somebody_has_put_in_the_place_of_gunicorns_is_used(serving, monkeypatch):
    class OfSomebody(wsgi.Response):
        def default_headers(self):
            return [*super().default_headers(), "X-Somebody: was here\r\n"]

    monkeypatch.setattr(wsgi, "Response", OfSomebody)
    served = serving(answering())
    served.ask()
    assert b"X-Somebody: was here\r\n" in served.answer()


def test_a_function_that_somebody_has_put_in_the_place_of_create_is_called_and_its_requests_are_counted(
    serving, monkeypatch
):
    def create(req, sock, client, server, cfg):
        response, environ = original(req, sock, client, server, cfg)
        response.headers.append(("X-Somebody", "was here"))
        return response, environ

    original = wsgi.create
    monkeypatch.setattr(wsgi, "create", create)
    served = serving(answering())
    served.ask()
    assert b"X-Somebody: was here\r\n" in served.answer()
    assert served.finished == {"2xx": 1}


def test_a_worker_that_loads_its_app_again_counts_each_request_once(serving):
    served = serving(answering())
    served.worker.load_wsgi()
    served.ask()
    assert (served.finished, served.busy) == ({"2xx": 1}, 0)


def test_a_method_that_somebody_has_put_into_gunicorns_response_is_used(serving, monkeypatch):
    def send_headers(response):
        response.headers.append(("X-Somebody", "was here"))
        original(response)

    original = wsgi.Response.send_headers
    monkeypatch.setattr(wsgi.Response, "send_headers", send_headers)
    served = serving(answering())
    served.ask()
    assert b"X-Somebody: was here\r\n" in served.answer()


def test_an_app_that_a_hook_has_put_in_its_place_is_called_and_counted_from_then_on(serving):
    served = serving(answering())
    served.ask()
    served.worker.wsgi = answering("404 Not Found")
    served.ask()

    assert served.finished == {"2xx": 1, "4xx": 1}


def test_an_app_that_raises_counts_as_an_error(serving):
    def app(environ, start_response):
        raise LookupError

    served = serving(app)
    assert isinstance(served.ask(), LookupError)
    assert (served.busy, served.finished) == (0, {"error": 1})


def test_a_response_that_raises_half_way_counts_as_an_error(serving):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        raise LookupError

    served = serving(app)
    assert isinstance(served.ask(), StopIteration)
    assert (served.busy, served.finished) == (0, {"error": 1})


def test_a_close_that_raises_counts_as_an_error(serving):
    class Body(list):
        def close(self):
            raise LookupError

    served = serving(answering(body=Body([b"x"])))
    served.ask()
    assert (served.busy, served.finished) == (0, {"error": 1})


def test_an_oserror_of_the_apps_own_counts_as_an_error(serving):
    def app(environ, start_response):
        start_response("200 OK", [])
        raise ConnectionResetError("the database has gone")

    served = serving(app)
    assert isinstance(served.ask(), ConnectionResetError)
    assert served.finished == {"error": 1}


def test_a_client_that_leaves_half_way_is_no_failure_of_the_app(serving):
    def app(environ, start_response):
        start_response("200 OK", [])
        served.client.close()
        for _ in range(100):
            yield b"x" * 65536

    served = serving(app)
    assert isinstance(served.ask(), OSError)
    assert (served.busy, served.finished) == (0, {"2xx": 1})


def test_an_app_that_has_taken_over_the_connection_is_no_error(serving):
    def app(environ, start_response):
        environ["gunicorn.socket"].sendall(b"something of its own")
        raise StopIteration  # as simple-websocket does under gunicorn

    served = serving(app)
    served.ask()
    assert served.answer() == b"something of its own"
    assert (served.busy, served.finished) == (0, {"1xx": 1})


def test_an_iterable_that_is_never_closed_leaves_no_slot_busy(serving, monkeypatch):
    served = serving(answering())

    def handle_request(worker, *arguments):
        (request,) = (each for each in arguments if hasattr(each, "uri"))
        response, environ = wsgi.create(request, served.ours, ("192.0.2.1", 5), ("127.0.0.1", 80), served.config)
        worker.wsgi(environ, response.start_response)

    monkeypatch.setattr(served.base, "handle_request", handle_request)
    served.ask()
    assert (served.busy, served.finished) == (0, {"2xx": 1})


def test_a_request_outside_of_handle_request_leaves_no_slot_busy(serving):
    served = serving(answering())
    served.client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    request = next(http.get_parser(served.config, served.ours, ("192.0.2.1", 5)))
    wsgi.create(request, served.ours, ("192.0.2.1", 5), ("127.0.0.1", 80), served.config)

    assert served.busy == 0


def test_so_many_of_the_next_responses_are_their_connections_last_as_the_worker_gives_up(serving):
    served = serving(answering())
    served.worker.give_up(1)
    served.ask()
    assert b"Connection: close" in served.answer()
    served.ask()
    last = b"Connection: close" in served.answer()
    assert last == (served.base is sync.SyncWorker)  # which closes every connection anyway


def test_every_response_is_its_connections_last_while_the_worker_drains(serving):
    served = serving(answering())
    served.worker.drain()

    assert served.worker.meter.to_close == math.inf
    for _ in range(2):
        served.ask()
        assert b"Connection: close" in served.answer()


def test_with_the_access_log_as_json_the_app_finds_the_id_of_its_request(serving):
    seen = []

    def app(environ, start_response):
        seen.append(environ["HTTP_X_REQUEST_ID"])
        return answering()(environ, start_response)

    served = serving(app, access_log_json=True)
    served.ask(b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n")
    assert seen == ["mine"]
