"""Each request has 12 files open for 30 ms, in a process that may have 256 open, its connections among them."""

from __future__ import annotations

import contextlib
import os
import resource
import time

from stablehand_bench.apps.hazards.page import page

_FILES = 12
_MOST_OPEN = 256

_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_OPEN, _most))


def _work() -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(_FILES):
            stack.enter_context(open(os.devnull, "rb"))  # noqa: PTH123 (as such apps do)
        time.sleep(0.03)


app = page(_work)
