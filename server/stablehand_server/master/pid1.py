"""Run as a container's first process.

The kernel drops every signal for process 1 that it has no handler for. gunicorn's handlers are set when the arbiter
starts, after the configuration and a preloaded app have been imported: a SIGTERM before that would be lost, and the
container would run until its grace period is over. Orphans, which the kernel assigns to process 1, are reaped by the
arbiter, which waits for any child.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_FIRST = 1


def end_on_sigterm() -> None:
    """Let SIGTERM end process 1, as it ends any other process, until another handler is set."""
    if os.getpid() == _FIRST:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    os._exit(128 + number)  # nothing serves yet; an app that is being imported might catch SystemExit
