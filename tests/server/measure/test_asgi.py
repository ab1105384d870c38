from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from stablehand_server.measure.asgi import SOCKET_KEY, InstrumentedASGIApp
from stablehand_server.measure.recorder import UnlockedRecorder
from stablehand_server.shared_memory import Cell, Slots
from stablehand_tuner.contracts.metric_names import NOTED_STATUSES, STATUS_CODES


class Measured:
    """Runs apps as a server would, and tells what was recorded."""

    def __init__(self):
        self.cells = Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells
        self.sent = []

    async def serve(self, app, kind="http", **scope):
        """Call an app with a scope."""
        await InstrumentedASGIApp(app, UnlockedRecorder(self.cells))(
            {"type": kind, "headers": [], **scope}, self.receive, self.send
        )

    async def receive(self):
        """Stand in for the server's own."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message):
        """Stand in for the server's own."""
        self.sent.append(message)

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


def start(status=200, **more):
    return {"type": "http.response.start", "status": status, "headers": [], **more}


def body(content=b"body", **more):
    return {"type": "http.response.body", "body": content, **more}


def sending(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


@pytest.mark.parametrize(
    ("status", "code"), [(101, "1xx"), (204, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx"), (999, "error")]
)
async def test_a_request_is_counted_by_its_class_of_status_and_passed_on_as_it_is(measured, status, code):
    await measured.serve(sending(start(status), body()))

    assert measured.sent == [start(status), body()]
    assert measured.finished == {code: 1}
    assert measured.busy == 0


async def test_a_status_that_tells_a_broken_app_is_counted_besides_its_class(measured):
    await measured.serve(sending(start(429), body()))

    assert measured.cells[Cell.NOTED + NOTED_STATUSES.index("429")] == 1
    assert measured.finished == {"4xx": 1}


async def test_an_app_that_raises_counts_as_an_error_and_is_busy_no_more(measured):
    async def app(scope, receive, send):
        await send(start())
        raise LookupError

    with pytest.raises(LookupError):
        await measured.serve(app)
    assert measured.finished == {"error": 1}
    assert measured.busy == 0


async def test_an_app_that_sends_nothing_counts_as_an_error(measured):
    await measured.serve(sending())
    assert measured.finished == {"error": 1}


async def test_what_an_app_does_after_its_response_holds_no_slot_and_is_no_error_of_the_request(measured):
    async def app(scope, receive, send):
        await send(start())
        await send(body())
        assert (measured.busy, measured.finished) == (0, {"2xx": 1})
        raise LookupError

    with pytest.raises(LookupError):
        await measured.serve(app)
    assert (measured.busy, measured.finished) == (0, {"2xx": 1})


async def test_a_streamed_response_is_busy_until_its_last_part(measured):
    async def app(scope, receive, send):
        await send(start())
        await send(body(more_body=True))
        assert measured.busy == 1
        await send(body())
        assert measured.busy == 0

    await measured.serve(app)


async def test_a_response_with_trailers_is_busy_until_the_last_of_them(measured):
    async def app(scope, receive, send):
        await send(start(trailers=True))
        await send(body())
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": True})
        assert measured.busy == 1
        await send({"type": "http.response.trailers", "headers": []})
        assert measured.busy == 0

    await measured.serve(app)


@pytest.mark.parametrize(("begun", "code"), [(True, "2xx"), (False, "4xx")])
async def test_a_client_that_leaves_is_no_failure_of_the_app(measured, begun, code):
    waits = asyncio.Event()

    async def app(scope, receive, send):
        if begun:
            await send(start())
        waits.set()
        await asyncio.Event().wait()

    serving = asyncio.create_task(measured.serve(app))
    await waits.wait()
    assert measured.busy == 1
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    assert (measured.busy, measured.finished) == (0, {code: 1})


async def test_the_lifespan_is_no_request(measured):
    await measured.serve(sending(), "lifespan")
    assert measured.finished == {}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "websocket.accept"}, {"type": "websocket.close"}], "1xx"),
        ([{"type": "websocket.close"}], "4xx"),
        ([{"type": "websocket.http.response.start", "status": 401}, {"type": "websocket.http.response.body"}], "4xx"),
    ],
)
async def test_a_websocket_counts_as_one_request_by_the_answer_to_its_handshake(measured, messages, code):
    await measured.serve(sending(*messages), "websocket")
    assert (measured.busy, measured.finished) == (0, {code: 1})


async def test_an_open_websocket_holds_no_slot(measured):
    async def app(scope, receive, send):
        assert measured.busy == 1
        await send({"type": "websocket.accept"})
        assert measured.busy == 0

    await measured.serve(app, "websocket")


async def test_the_time_inside_the_app_is_summed_and_falls_into_one_bucket(measured):
    async def app(scope, receive, send):
        await asyncio.sleep(0.03)
        await send(start())
        await send(body())

    await measured.serve(app)
    assert measured.cells[Cell.DURATION_SECONDS] >= 0.03
    assert sum(measured.cells[Cell.DURATION_BUCKETS : Cell.DURATION_SECONDS]) == 1
    assert measured.cells[Cell.DURATION_BUCKETS] == 0


async def test_the_queue_time_counts_from_the_proxys_stamp(measured):
    stamp = f"t={time.time() - 3.0:.3f}".encode()
    await measured.serve(sending(start(), body()), headers=[(b"host", b"x"), (b"x-request-start", stamp)])

    assert measured.cells[Cell.QUEUE_SECONDS] == pytest.approx(3.0, abs=0.5)


async def test_the_servers_socket_gives_the_queue_time_and_is_hidden_from_the_app(measured, accepted):
    async def app(scope, receive, send):
        assert SOCKET_KEY not in scope
        await send(start())
        await send(body())

    await asyncio.sleep(0.05)
    await measured.serve(app, **{SOCKET_KEY: accepted})

    assert measured.finished == {"2xx": 1}
    assert 0.03 <= measured.cells[Cell.QUEUE_SECONDS] <= 5.0
