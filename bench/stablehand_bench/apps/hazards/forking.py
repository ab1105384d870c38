"""Each request forks a process for its work, and other requests hold a lock at that moment: the child never gets it.

As with a cache, a logger or a connection pool whose lock some thread holds. Alone in its process a request is safe.
"""

from __future__ import annotations

import multiprocessing
import threading
import time

from stablehand_bench.apps.hazards.page import page

_PATIENCE_SECONDS = 1.0
_context = multiprocessing.get_context("fork")
_lock = threading.Lock()


def _job() -> None:
    with _lock:
        time.sleep(0.01)


def _work() -> None:
    with _lock:
        time.sleep(0.002)
    child = _context.Process(target=_job, daemon=True)
    child.start()
    child.join(_PATIENCE_SECONDS)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise RuntimeError(f"the child did not end within {_PATIENCE_SECONDS:g} s")
    if child.exitcode:
        raise RuntimeError(f"the child ended with status {child.exitcode}")


app = page(_work)
