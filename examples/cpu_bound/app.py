"""An app that only computes: a report, a rendered image, a big template.

CPU_MS  milliseconds of CPU per request (default 20)
"""

import os
import time

from flask import Flask

CPU_SECONDS = float(os.environ.get("CPU_MS", "20")) / 1000

app = Flask(__name__)


def compute(seconds: float) -> None:
    """Use so much CPU time of this thread; on a busy machine that takes longer by the clock, but is the same work."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))


@app.get("/")
def page() -> dict[str, float]:
    """Compute."""
    compute(CPU_SECONDS)
    return {"cpu_seconds": CPU_SECONDS}
