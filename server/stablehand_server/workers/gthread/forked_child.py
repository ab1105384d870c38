"""The end of a process that a request has forked, once its copy of the request's thread has left the app.

It must not go on as a worker, on the sockets and the selector that it shares with its parent. Under gunicorn such a
process sleeps for ever, and what threads it has go on; here it ends as soon as it has none.
"""

from __future__ import annotations

import threading
from typing import Any

from stablehand_server.workers.common.app_forks import end_without_main_thread


def end_with(error: BaseException | None, log: Any) -> None:
    """End this process with the status that an exception stands for; return if other threads are at work in it.

    No hook and no function of atexit runs: they are the worker's.
    """
    if error is not None and not isinstance(error, SystemExit):
        log.error("A process that a request has forked ends", exc_info=error)
    if threading.active_count() == 1:
        end_without_main_thread(_status(error))


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    code = error.code if isinstance(error, SystemExit) else 1
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1
