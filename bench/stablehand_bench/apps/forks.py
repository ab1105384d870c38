"""Children of a benchmark's master."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def fork(main: Callable[[], object]) -> int:
    """Fork a child that runs `main` and ends; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        main()
        status = 0
    except Exception:  # noqa: BLE001 (the last frame of a process: say it and go)
        traceback.print_exc()
    finally:
        os._exit(status)


def until_interrupted() -> None:
    """Wait for SIGINT, then end all of the process's group."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGKILL)
