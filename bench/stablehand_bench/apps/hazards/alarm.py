"""A time limit by `signal.alarm` in each request: only the main thread may set a signal's handler."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from stablehand_bench.apps.hazards.page import page

if TYPE_CHECKING:
    from types import FrameType

_LIMIT_SECONDS = 20


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"took longer than {_LIMIT_SECONDS} s")


def _limited() -> None:
    signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(_LIMIT_SECONDS)
    try:
        time.sleep(0.03)
    finally:
        signal.alarm(0)


app = page(_limited)
