from __future__ import annotations

import asyncio

import pytest

from stablehand_bench.changing.client import ScriptedLoop
from stablehand_bench.changing.scripts import Script, Stretch

pytestmark = pytest.mark.integration

SCRIPT = Script(
    "two", "two kinds", (Stretch(1, "/quick", 20, 20), Stretch(1, "/slow", 20, 20), Stretch(1, "/bad", 20, 20))
)


async def test_what_is_due_and_what_is_answered_in_time_is_counted_second_by_second():
    async def handle(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/slow":
            await asyncio.sleep(0.3)
        status = 500 if path == b"/bad" else 200
        writer.write(b"HTTP/1.1 %d \r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        loop = ScriptedLoop(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", SCRIPT, limit_seconds=0.25)
        told = await loop.run()

    assert loop.series == [[20, 20], [20, 0], [20, 0]]
    assert (told["requests"], told["failed"]) == (40, 20)
