"""The closed loop, against servers that behave and servers that don't."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.load import InvalidLoad, Load, generate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    Reader = asyncio.StreamReader
    Writer = asyncio.StreamWriter
    Serving = Callable[..., AbstractAsyncContextManager[str]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD_END = b"\r\n\r\n"


async def always_ok(reader: Reader, writer: Writer):
    while await reader.readuntil(HEAD_END):
        writer.write(OK)


def answering(answer: bytes, *, close: bool = True):
    """One answer to each connection's first request, then the end of the connection, or silence."""

    async def handle(reader: Reader, writer: Writer):
        await reader.readuntil(HEAD_END)
        writer.write(answer)
        await writer.drain()
        if not close:
            await asyncio.Event().wait()

    return handle


async def test_every_request_of_a_keep_alive_server_is_counted_once_on_as_many_connections_as_asked(serving: Serving):
    async with serving(always_ok) as url:
        result = await generate(Load(url, connections=4, requests=500))
    assert (result.completed, result.failed, result.connects) == (500, 0, 4)
    assert sum(second.completed for second in result.series) == 500
    assert 0 < result.p50 <= result.p95 <= result.p99 < 5


async def test_never_more_than_one_request_is_under_way_on_each_connection(serving: Serving):
    under_way = most = 0

    async def count(reader: Reader, writer: Writer):
        nonlocal under_way, most
        while await reader.readuntil(HEAD_END):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            writer.write(OK)

    async with serving(count) as url:
        result = await generate(Load(url, connections=7, requests=200))
    assert (result.completed, most) == (200, 7)


async def test_latency_is_what_the_server_made_the_client_wait(serving: Serving):
    async def slow(reader: Reader, writer: Writer):
        while await reader.readuntil(HEAD_END):
            await asyncio.sleep(0.05)
            writer.write(OK)

    async with serving(slow) as url:
        result = await generate(Load(url, connections=2, requests=20))
    assert 0.045 < result.p50 < 0.25


async def test_duration_ends_the_run_and_what_is_under_way_then_is_awaited(serving: Serving):
    asked = []

    async def slow(reader: Reader, writer: Writer):
        while await reader.readuntil(HEAD_END):
            asked.append(True)
            await asyncio.sleep(0.2)
            writer.write(OK)

    async with serving(slow) as url:
        result = await generate(Load(url, connections=3, duration=0.3))
    assert result.completed >= 3
    assert (result.completed, result.failed) == (len(asked), 0)


async def test_connection_close_is_honoured_by_connecting_anew_and_is_no_failure(serving: Serving):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with serving(answering(answer)) as url:
        result = await generate(Load(url, connections=2, requests=30))
    assert (result.completed, result.failed, result.connects) == (30, 0, 30)


async def test_without_keep_alive_each_request_says_so_and_has_a_connection_of_its_own(serving: Serving):
    asked = []

    async def listen(reader: Reader, writer: Writer):
        asked.append(await reader.readuntil(HEAD_END))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with serving(listen) as url:
        result = await generate(Load(url, connections=1, requests=5, keep_alive=False))
    assert (result.completed, result.connects) == (5, 5)
    assert all(b"\r\nConnection: close\r\n" in each for each in asked)


async def test_a_body_whose_length_is_given_by_the_connections_end_is_complete_then(serving: Serving):
    async with serving(answering(b"HTTP/1.0 200 OK\r\n\r\nhello")) as url:
        result = await generate(Load(url, connections=1, requests=3))
    assert (result.completed, result.failed) == (3, 0)


async def test_an_informational_answer_is_not_the_answer(serving: Serving):
    async with serving(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, close=False)) as url:
        result = await generate(Load(url, connections=1, requests=1))
    assert (result.completed, result.failed) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("eof_before_response", b""),
        ("eof_within_response", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("eof_within_response", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        ("eof_within_response", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("malformed", b"SMTP ready\r\n"),
        ("status_503", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        ("status_302", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    ],
)
async def test_each_failure_is_counted_by_its_kind_and_nothing_is_tried_again(
    serving: Serving, kind: str, answer: bytes
):
    connections = 0

    async def count(reader: Reader, writer: Writer):
        nonlocal connections
        connections += 1
        await answering(answer)(reader, writer)

    async with serving(count) as url:
        result = await generate(Load(url, connections=1, requests=2))
    assert result.failures == {kind: 2}
    assert (result.completed, connections) == (0, 2)
    assert [example.kind for example in result.examples] == [kind, kind]


async def test_a_keep_alive_connection_closed_under_a_fresh_request_is_a_failure(serving: Serving):
    async with serving(answering(OK)) as url:
        result = await generate(Load(url, connections=1, requests=2))
    assert result.completed == 1
    assert result.failures.total() == 1
    assert set(result.failures) <= {"eof_before_response", "reset"}


async def test_a_reset_is_told_from_an_orderly_end(serving: Serving):
    async def reset(reader: Reader, writer: Writer):
        await reader.readuntil(HEAD_END)
        linger_zero = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        writer.transport.abort()

    async with serving(reset) as url:
        result = await generate(Load(url, connections=1, requests=1))
    assert result.failures == {"reset": 1}


async def test_a_server_that_never_answers_costs_a_timeout_not_the_run(serving: Serving):
    async with serving(answering(b"", close=False)) as url:
        result = await generate(Load(url, connections=2, requests=2, timeout=0.2))
    assert result.failures == {"timeout": 2}


async def test_nobody_listening_is_refused_and_tried_at_a_bounded_rate():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: no one else can take the port meanwhile
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        result = await generate(Load(url, connections=2, duration=0.5))
    assert set(result.failures) == {"refused"}
    assert 2 <= result.failed <= 12


async def test_the_stop_event_ends_a_run_early_with_its_result(serving: Serving):
    stop = asyncio.Event()
    async with serving(always_ok) as url:
        run = generate(Load(url, connections=2, duration=60), stop=stop, on_second=lambda _: stop.set())
        result = await asyncio.wait_for(run, 10)
    assert result.failed == 0
    assert result.completed > 0


async def test_each_second_that_is_over_is_reported_once_and_in_order(serving: Serving):
    seconds = []
    async with serving(always_ok) as url:
        result = await generate(Load(url, connections=1, duration=2.3), on_second=seconds.append)
    assert [second.at for second in seconds] == [0, 1]
    assert [second.completed for second in seconds] == [second.completed for second in result.series[:2]]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"url": "https://a/", "requests": 1}, "url"),
        ({"url": "a:80", "requests": 1}, "url"),
        ({"url": "http://a/"}, "duration"),
        ({"url": "http://a/", "duration": 0}, "duration"),
        ({"url": "http://a/", "duration": 1e6}, "duration"),
        ({"url": "http://a/", "requests": 0}, "requests"),
        ({"url": "http://a/", "requests": 1, "connections": 0}, "connections"),
        ({"url": "http://a/", "requests": 1, "timeout": 0}, "timeout"),
        ({"url": "http://a/", "requests": 1, "headers": {"A": "b\r\nC: d"}}, "headers"),
    ],
)
def test_a_load_that_is_unbounded_or_impossible_is_refused_naming_the_field(fields: dict, named: str):
    with pytest.raises(InvalidLoad, match=named):
        Load(**fields)
