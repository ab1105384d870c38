from __future__ import annotations

import asyncio

import pytest

from stablehand_server.workers.asgi.outlet import Outlet


class Connection:
    """The loop's side: notes what is written, and takes no more while it says so."""

    is_write_paused = False

    def __init__(self):
        self.written = b""

    def write_pieces(self, pieces):
        """Note them."""
        self.written += b"".join(pieces)


async def test_a_thread_that_sends_waits_for_its_client():
    connection = Connection()
    connection.is_write_paused = True
    outlet = Outlet(connection, asyncio.get_running_loop())
    sending = asyncio.ensure_future(asyncio.to_thread(outlet.sendall, b"x" * 1_000_000))
    await asyncio.wait([sending], timeout=0.3)
    assert not sending.done()
    assert len(connection.written) < 1_000_000

    connection.is_write_paused = False
    outlet.written()
    await asyncio.wait_for(sending, 10)
    while len(connection.written) < 1_000_000:  # noqa: ASYNC110 (no event tells)
        await asyncio.sleep(0.01)


async def test_a_thread_learns_that_its_client_has_gone():
    connection = Connection()
    connection.is_write_paused = True
    outlet = Outlet(connection, asyncio.get_running_loop())
    sending = asyncio.ensure_future(asyncio.to_thread(outlet.sendall, b"x" * 1_000_000))
    await asyncio.wait([sending], timeout=0.3)
    outlet.hang_up()
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(sending, 10)
