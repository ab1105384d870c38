"""Each request has its work done by a child process (a converter, a report): the worker itself only waits."""

from __future__ import annotations

import os
import subprocess
import sys

from stablehand_bench.apps.hazards.page import page

_TURNS = 12 * int(os.environ.get("STABLEHAND_BENCH_LOOPS", "10000"))
_COMMAND = [sys.executable, "-I", "-S", "-c", f"for i in range({_TURNS}): i * i"]


def _convert() -> None:
    subprocess.run(_COMMAND, check=True)


app = page(_convert)
