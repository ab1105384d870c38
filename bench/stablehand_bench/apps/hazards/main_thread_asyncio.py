"""An app with one event loop, that of its main thread: other threads have none, and greenlets find it running."""

from __future__ import annotations

import asyncio

from stablehand_bench.apps.hazards.page import page

asyncio.set_event_loop(asyncio.new_event_loop())


def _await() -> None:
    asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.03))


app = page(_await)
