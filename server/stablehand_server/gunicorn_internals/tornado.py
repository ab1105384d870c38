"""gunicorn's tornado worker: for a process of this class alone, since it loads Tornado.

Relied on: its `setup`, which names gunicorn in Tornado's Server header; its loop and its server are not used here.
"""

from __future__ import annotations

from gunicorn.workers.gtornado import TornadoWorker

__all__ = ["TornadoWorker"]
