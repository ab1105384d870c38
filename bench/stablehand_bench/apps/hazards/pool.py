"""SQLAlchemy's pool of 5 + 10 connections in each process, a time-out of 3 s, and a query of 50 ms.

Environment: `STABLEHAND_BENCH_POSTGRES`, where the database is.
"""

from __future__ import annotations

import os

import sqlalchemy

from stablehand_bench.apps.hazards.page import page

_engine = sqlalchemy.create_engine(
    f"postgresql+psycopg:///?{os.environ['STABLEHAND_BENCH_POSTGRES'].replace(' ', '&')}",
    pool_size=5,
    max_overflow=10,
    pool_timeout=3,
)
_QUERY = sqlalchemy.text("SELECT pg_sleep(0.05)")


def _query() -> None:
    with _engine.connect() as connection:
        connection.execute(_QUERY)


app = page(_query)
