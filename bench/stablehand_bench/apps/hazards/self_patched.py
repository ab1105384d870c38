"""The app patches itself for gevent, whatever the worker class: threads are greenlets then, also the server's."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402 (after the patch, as gevent demands)

from stablehand_bench.apps.hazards.page import page  # noqa: E402 (the same)


def _wait() -> None:
    time.sleep(0.02)


app = page(_wait)
