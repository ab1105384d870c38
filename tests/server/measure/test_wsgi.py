from __future__ import annotations

import gc
import io
import sys
import threading
import time

import pytest
from gunicorn.http.wsgi import FileWrapper

from stablehand_server.measure.recorder import RequestRecorder
from stablehand_server.measure.wsgi import InstrumentedApp
from stablehand_server.shared_memory import Cell, Slots
from stablehand_tuner.contracts.metric_names import STATUS_CODES


class Measured:
    """Runs apps as a server would, and tells what was recorded."""

    def __init__(self):
        self.cells = Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells
        self.sent = []

    def call(self, app, environ=None, **options):
        """Call an app, and return what comes back, unread."""
        wrapped = InstrumentedApp(app, RequestRecorder(self.cells), **options)
        return wrapped(environ or {}, self.start_response)

    def serve(self, app, environ=None):
        """Call an app, and send the whole response."""
        response = self.call(app, environ)
        try:
            return list(response)
        finally:
            response.close()

    def start_response(self, status, headers, exc_info=None):
        """Stand in for the server's own."""
        self.sent.append((status, headers, exc_info))
        return "write"

    @property
    def busy(self):
        """Requests inside the app."""
        return self.cells[Cell.BUSY]

    @property
    def finished(self):
        """Finished requests by class of status, without the zeros."""
        counts = zip(STATUS_CODES, self.cells[Cell.REQUESTS : Cell.REQUESTS + len(STATUS_CODES)], strict=True)
        return {code: count for code, count in counts if count}


@pytest.fixture
def measured():
    return Measured()


def answering(status, body=(b"body",)):
    def app(environ, start_response):
        start_response(status, [])
        return body

    return app


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("101 Switching Protocols", "1xx"),
        ("204 No Content", "2xx"),
        ("302 Found", "3xx"),
        ("404 Not Found", "4xx"),
        ("503 Service Unavailable", "5xx"),
        ("999 Odd", "error"),
        ("", "error"),
    ],
)
def test_a_request_is_counted_by_its_class_of_status(measured, status, code):
    assert measured.serve(answering(status)) == [b"body"]
    assert measured.finished == {code: 1}


def test_an_app_that_raises_counts_as_an_error_and_is_busy_no_more(measured):
    def app(environ, start_response):
        raise LookupError

    with pytest.raises(LookupError):
        measured.call(app)
    assert measured.finished == {"error": 1}
    assert measured.busy == 0


def test_a_response_that_raises_half_way_counts_as_an_error(measured):
    def body():
        yield b"first"
        raise LookupError

    with pytest.raises(LookupError):
        measured.serve(answering("200 OK", body()))
    assert measured.finished == {"error": 1}


def test_a_response_that_is_no_iterable_counts_as_an_error(measured):
    with pytest.raises(TypeError):
        measured.serve(answering("200 OK", 5))
    assert measured.finished == {"error": 1}


def test_a_close_that_raises_counts_as_an_error_and_is_busy_no_more(measured):
    class Body(list):
        def close(self):
            raise LookupError

    with pytest.raises(LookupError):
        measured.serve(answering("200 OK", Body([b"x"])))
    assert measured.finished == {"error": 1}
    assert measured.busy == 0


def test_a_request_holds_its_slot_until_the_response_is_closed(measured):
    response = measured.call(answering("200 OK", iter([b"a", b"b"])))

    assert list(response) == [b"a", b"b"]
    assert (measured.busy, measured.finished) == (1, {})
    response.close()
    assert (measured.busy, measured.finished) == (0, {"2xx": 1})


def test_the_apps_own_close_is_called_once(measured):
    closed = []

    class Body(list):
        def close(self):
            closed.append(True)

    measured.serve(answering("200 OK", Body([b"x"])))
    assert closed == [True]


def test_closing_twice_counts_once(measured):
    response = measured.call(answering("200 OK"))
    response.close()
    response.close()

    assert measured.finished == {"2xx": 1}
    assert measured.busy == 0


def test_a_client_that_leaves_half_way_is_no_failure_of_the_app(measured):
    response = measured.call(answering("200 OK", iter([b"a", b"b"])))
    next(iter(response))
    response.close()

    assert measured.finished == {"2xx": 1}


def test_a_lazy_app_that_starts_its_response_while_it_is_iterated_over_is_counted_by_that(measured):
    def app(environ, start_response):
        start_response("201 Created", [])
        yield b"x"

    measured.serve(app)
    assert measured.finished == {"2xx": 1}


def test_the_last_status_counts_when_an_app_restarts_its_response_after_an_error(measured):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("500 Internal Server Error", [], ("type", "value", "traceback"))
        return [b""]

    measured.serve(app)
    assert measured.finished == {"5xx": 1}
    assert measured.sent[-1][2] == ("type", "value", "traceback")


def test_the_servers_start_response_gets_the_apps_arguments_and_its_write_is_returned(measured):
    def app(environ, start_response):
        assert start_response("200 OK", [("X-A", "b")]) == "write"
        return []

    measured.serve(app)
    assert measured.sent == [("200 OK", [("X-A", "b")], None)]


def test_a_file_wrapper_stays_one_and_its_close_ends_the_request(measured):
    file = io.BytesIO(b"content")

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    response = measured.call(app, {"wsgi.file_wrapper": FileWrapper})
    assert isinstance(response, FileWrapper)
    assert measured.busy == 1
    response.close()
    assert file.closed
    assert (measured.busy, measured.finished) == (0, {"2xx": 1})


def test_a_response_that_the_worker_class_calls_handled_is_passed_on_and_over(measured):
    marker = object()

    response = measured.call(answering("200 OK", marker), already_handled=lambda each: each is marker)
    assert response is marker
    assert (measured.busy, measured.finished) == (0, {"2xx": 1})


def test_the_time_inside_the_app_is_summed_and_falls_into_one_bucket(measured):
    def app(environ, start_response):
        start_response("200 OK", [])
        time.sleep(0.03)
        yield b""

    measured.serve(app)
    assert measured.cells[Cell.DURATION_SECONDS] >= 0.03
    assert sum(measured.cells[Cell.DURATION_BUCKETS : Cell.DURATION_SECONDS]) == 1
    assert measured.cells[Cell.DURATION_BUCKETS] == 0


def test_a_known_queue_time_goes_into_the_histogram_and_an_unknown_one_does_not(measured):
    measured.serve(answering("200 OK"), {"HTTP_X_REQUEST_START": f"{time.time() - 3.0:.3f}"})
    measured.serve(answering("200 OK"), {"HTTP_X_REQUEST_START": "soon"})

    assert sum(measured.cells[Cell.QUEUE_BUCKETS : Cell.QUEUE_SECONDS]) == 1
    assert measured.cells[Cell.QUEUE_SECONDS] == pytest.approx(3.0, abs=0.5)


def test_sixty_four_threads_that_serve_at_once_lose_no_update(measured):
    threads, requests = 64, 100
    app = InstrumentedApp(answering("200 OK"), RequestRecorder(measured.cells))
    environ = {"HTTP_X_REQUEST_START": f"{time.time() - 1.0:.3f}"}
    all_there = threading.Barrier(threads)

    def serve():
        all_there.wait()
        for _ in range(requests):
            response = app(environ, measured.start_response)
            assert list(response) == [b"body"]
            response.close()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        crowd = [threading.Thread(target=serve) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    served = threads * requests
    assert (measured.busy, measured.finished) == (0, {"2xx": served})
    assert sum(measured.cells[Cell.DURATION_BUCKETS : Cell.DURATION_SECONDS]) == served
    assert sum(measured.cells[Cell.QUEUE_BUCKETS : Cell.QUEUE_SECONDS]) == served


def streaming(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    yield b"two"


@pytest.mark.parametrize("app", [streaming, answering("200 OK")])
def test_a_response_that_nobody_closes_ends_when_nobody_has_it_any_more(measured, app):
    assert b"".join(measured.call(app))
    gc.collect()

    assert measured.busy == 0
    assert measured.finished == {"2xx": 1}


def test_a_response_that_middleware_leaves_half_way_ends_when_it_is_collected(measured):
    response = measured.call(streaming)
    next(iter(response))
    assert measured.busy == 1
    del response
    gc.collect()

    assert measured.busy == 0


def test_a_response_that_is_closed_is_counted_once_also_when_it_is_collected(measured):
    measured.serve(streaming)
    gc.collect()

    assert measured.busy == 0
    assert measured.finished == {"2xx": 1}


def test_a_file_that_nobody_closes_ends_when_nobody_has_it_any_more(measured):
    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"content"))

    body = measured.call(app, {"wsgi.file_wrapper": FileWrapper})
    assert measured.busy == 1
    del body
    gc.collect()

    assert measured.busy == 0
