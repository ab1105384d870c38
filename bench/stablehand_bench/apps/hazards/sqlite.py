"""A SQLite file that each request writes to for 4 ms, after a wait of 16 ms: who waits longer than 1 s fails.

Its waiting is not fair, and it blocks gevent's loop while the greenlet that holds the lock cannot go on.

Environment: `STABLEHAND_BENCH_DIRECTORY`, where the file may be.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from stablehand_bench.apps.hazards.page import page

_PATH = Path(os.environ["STABLEHAND_BENCH_DIRECTORY"]) / "bench.sqlite"
_TIMEOUT_SECONDS = 1.0


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(_PATH, timeout=_TIMEOUT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _write() -> None:
    time.sleep(0.016)
    with contextlib.closing(_connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE visits SET number = number + 1")
        time.sleep(0.004)
        connection.execute("COMMIT")


with contextlib.closing(sqlite3.connect(_PATH, timeout=30, isolation_level=None)) as first:
    first.execute("CREATE TABLE IF NOT EXISTS visits (number INTEGER)")

app = page(_write)
