"""An app that mostly waits: a little work, then a slow backend. The typical web page.

CPU_MS   milliseconds of CPU per request (default 1)
WAIT_MS  milliseconds of waiting per request (default 100)
"""

import os
import time

from flask import Flask

CPU_SECONDS = float(os.environ.get("CPU_MS", "1")) / 1000
WAIT_SECONDS = float(os.environ.get("WAIT_MS", "100")) / 1000

app = Flask(__name__)


def compute(seconds: float) -> None:
    """Use so much CPU time of this thread; on a busy machine that takes longer by the clock, but is the same work."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))


@app.get("/")
def page() -> dict[str, float]:
    """Compute, then wait as for a database or another service."""
    compute(CPU_SECONDS)
    time.sleep(WAIT_SECONDS)
    return {"cpu_seconds": CPU_SECONDS, "wait_seconds": WAIT_SECONDS}
