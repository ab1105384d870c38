from __future__ import annotations

import asyncio
import contextlib

import pytest

from stablehand_bench.tuner import open_loop
from stablehand_bench.tuner.open_loop import OpenLoop
from stablehand_bench.tuner.schedule import Schedule

pytestmark = pytest.mark.integration

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def serve():
    """Return a function that serves on the loopback with a coroutine for each request, and returns the URL."""
    async with contextlib.AsyncExitStack() as stack:
        handlers = set()

        async def end():
            for handler in handlers:
                handler.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

        async def start(answer):
            async def handle(reader, writer):
                handlers.add(asyncio.current_task())
                try:
                    await reader.readuntil(b"\r\n\r\n")
                    await answer(writer)
                finally:
                    writer.close()

            server = await stack.enter_async_context(await asyncio.start_server(handle, "127.0.0.1", 0))
            stack.push_async_callback(end)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        yield start


async def test_so_many_requests_are_sent_as_are_due(serve):
    came = 0

    async def answer(writer):
        nonlocal came
        came += 1
        writer.write(ANSWER)

    told = await OpenLoop(await serve(answer), 0.5, Schedule(100)).run()

    assert came == 50
    assert 0 < told["requests"] <= 50, "those answered by the time at which the last was due"
    assert (told["failed"], told["unanswered"]) == (0, 0)


async def test_a_slow_server_gets_the_next_request_all_the_same_and_its_latency_counts(serve):
    present = most = 0

    async def answer(writer):
        nonlocal present, most
        present += 1
        most = max(most, present)
        await asyncio.sleep(0.3)
        present -= 1
        writer.write(ANSWER)

    told = await OpenLoop(await serve(answer), 0.5, Schedule(50)).run()

    assert most >= 10  # a closed loop over one connection would never send a second one
    assert told["p99_seconds"] >= 0.3
    assert told["requests"] < 25  # what came after the end does not count as throughput


async def test_a_server_that_stands_still_shows_in_the_latency_and_not_as_failures(serve, monkeypatch):
    monkeypatch.setattr(open_loop, "GRACE_SECONDS", 0.2)

    async def answer(_writer):
        await asyncio.Event().wait()

    told = await OpenLoop(await serve(answer), 0.3, Schedule(50)).run()

    assert (told["requests"], told["failed"]) == (0, 0)
    assert told["unanswered"] >= 10
    assert told["p99_seconds"] >= 0.4


async def test_every_other_answer_and_every_broken_connection_is_a_failure(serve):
    answers = iter([b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", b"", ANSWER] * 10)

    async def answer(writer):
        writer.write(next(answers))

    told = await OpenLoop(await serve(answer), 0.3, Schedule(50)).run()

    assert told["requests"] == pytest.approx(5, abs=1)
    assert told["failed"] == pytest.approx(10, abs=1)
    assert told["first_failure"].startswith("status_500")


async def test_nobody_there_is_a_failure():
    told = await OpenLoop("http://127.0.0.1:1/", 0.1, Schedule(50)).run()

    assert told["failed"] >= 4
    assert told["requests"] == 0


async def test_it_can_be_ended_early(serve):
    async def answer(writer):
        writer.write(ANSWER)

    loop = OpenLoop(await serve(answer), 60, Schedule(50))
    asyncio.get_running_loop().call_later(0.2, loop.stop.set)
    told = await asyncio.wait_for(loop.run(), 5)

    assert told["seconds"] < 2
    assert told["requests"] >= 5
