"""Custom and third-party worker classes: each gets the app itself, and serves it as under gunicorn.

What can be measured without wrapping the app is measured: memory, CPU time, and, where gunicorn's own code serves the
requests, the requests too. Where it does not, the number of requests is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from stablehand_server.gunicorn_internals.workers import AsyncWorker, SyncWorker, ThreadWorker, is_pywsgi
from stablehand_server.shared_memory import Cell
from stablehand_server.workers.common.base import MeasuredWorker
from stablehand_server.workers.common.wsgi import WSGIWorker

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config


class OthersWorker(MeasuredWorker):
    """A mixin for a class that serves its requests with its own code."""

    announces_max_requests: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cells[Cell.REQUESTS_UNKNOWN] = 1.0


class OthersWSGIWorker(WSGIWorker):
    """A mixin for a class that leaves its requests to the code of gunicorn's sync or gevent."""

    is_gunicorns: ClassVar[bool] = False
    _connections = 0

    def handle(self, *arguments: Any, **named: Any) -> Any:
        """Serve one connection as gunicorn does, and count it."""
        self._connections += 1
        self.note_connections(self._connections)
        try:
            return super().handle(*arguments, **named)
        finally:
            self._connections -= 1
            self.note_connections(self._connections)


class OthersThreadWorker(WSGIWorker):
    """A mixin for a class that leaves its requests to the code of gthread."""

    is_gunicorns: ClassVar[bool] = False
    request_position: ClassVar[int] = 0
    nr_conns: int  # gunicorn's own, which has no type there

    @classmethod
    def slots(cls, config: Config) -> int:
        """Return the number of threads."""
        return int(config.threads)

    def notify(self) -> None:
        """Send a heartbeat, and publish how many connections gunicorn has counted."""
        super().notify()
        self.note_connections(self.nr_conns)


class PyWSGIWorker(MeasuredWorker):
    """A mixin for gunicorn's own `gevent_pywsgi`, whose requests gevent's server serves."""

    announces_max_requests: ClassVar[bool] = False
    server_class: Any
    threaded: ClassVar[bool] = False

    def run(self) -> None:
        """Serve as gunicorn does, with a wrapper around the app that measures."""
        server_class = self.server_class

        def serve(listener: Any, application: Any, **options: Any) -> Any:
            del application  # it is `wsgi`, and what a hook puts there later counts
            return server_class(listener, application=self.measured_wsgi(), **options)

        self.server_class = serve
        super().run()


def measured_class(chosen: type[Any]) -> type[Any]:
    """Return a custom worker class with what this server must know about its workers."""
    return type(chosen.__name__, (_mixin(chosen), chosen), {"__module__": chosen.__module__})


def _mixin(chosen: type[Any]) -> type[MeasuredWorker]:
    if is_pywsgi(chosen):
        return PyWSGIWorker
    if getattr(chosen, "server_class", None) is not None:  # gevent's server serves instead of gunicorn
        return OthersWorker
    if issubclass(chosen, ThreadWorker):
        return OthersThreadWorker
    if issubclass(chosen, SyncWorker | AsyncWorker):
        return OthersWSGIWorker
    return OthersWorker
