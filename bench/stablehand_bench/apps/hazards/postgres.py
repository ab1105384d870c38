"""One PostgreSQL connection a thread, kept, and a query of 20 ms: more threads than `max_connections` are refused.

Environment: `STABLEHAND_BENCH_POSTGRES`, where the database is.
"""

from __future__ import annotations

import os
import threading

import psycopg

from stablehand_bench.apps.hazards.page import page

_local = threading.local()


def _query() -> None:
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = psycopg.connect(os.environ["STABLEHAND_BENCH_POSTGRES"], autocommit=True)
    connection.execute("SELECT pg_sleep(0.02)")


app = page(_query)
