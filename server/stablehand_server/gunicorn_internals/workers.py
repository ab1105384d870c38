"""gunicorn's worker classes that need no additional package: the common base, sync, gthread, and gevent's base.

Relied on: `init_process` boots a worker and calls `run`, which serves until `alive` is false; `init_signals` sets the
handlers; `load_wsgi` sets `wsgi` to the app; `notify` sends a heartbeat; `nr` counts requests up to `max_requests`.
`handle` serves a connection, and calls `handle_request` for each request. Each signal makes `PIPE` readable.
gthread passes a `TConn` for each connection, and decides by the length of `keepalived_conns` whether to keep one more.
"""

from __future__ import annotations

from gunicorn.errors import AppImportError
from gunicorn.workers import SUPPORTED_WORKERS
from gunicorn.workers.base import Worker
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.gthread import TConn, ThreadWorker
from gunicorn.workers.sync import SyncWorker

__all__ = [
    "SUPPORTED_WORKERS",
    "AppImportError",
    "AsyncWorker",
    "SyncWorker",
    "TConn",
    "ThreadWorker",
    "Worker",
    "is_pywsgi",
]


def is_pywsgi(worker_class: type) -> bool:
    """Return whether a class is gunicorn's own `gevent_pywsgi`, without importing gevent."""
    return worker_class.__module__ == "gunicorn.workers.ggevent" and worker_class.__name__ == "GeventPyWSGIWorker"
