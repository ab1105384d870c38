"""gunicorn's gevent worker: for a process of this class alone, since it loads gevent.

Relied on: it patches the standard library, and makes the listeners gevent's, before the app is loaded; `handle_quit`
and `handle_usr1` run in a greenlet of their own, and a `GreenletExit` raised by the app ends a request silently.
"""

from __future__ import annotations

from gunicorn.workers.ggevent import GeventWorker

__all__ = ["GeventWorker"]
