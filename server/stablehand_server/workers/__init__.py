"""gunicorn's worker classes, measured, and able to retire without failing a request; one module per class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.workers import SUPPORTED_WORKERS
from stablehand_server.workers.common.base import MeasuredWorker
from stablehand_server.workers.others import measured_class
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config

_OURS = {
    WorkerClass.SYNC: "stablehand_server.workers.sync.SyncWorker",
    WorkerClass.GTHREAD: "stablehand_server.workers.gthread.worker.ThreadWorker",
    WorkerClass.GEVENT: "stablehand_server.workers.gevent.GeventWorker",
    WorkerClass.EVENTLET: "stablehand_server.workers.eventlet.EventletWorker",
    WorkerClass.TORNADO: "stablehand_server.workers.tornado.worker.TornadoWorker",
    WorkerClass.ASGI: "stablehand_server.workers.asgi.worker.ASGIWorker",
}
# gunicorn's flag and configuration files may name the one class that gunicorn itself has removed.
SUPPORTED_WORKERS.setdefault(WorkerClass.EVENTLET.value, _OURS[WorkerClass.EVENTLET])
# What a configuration may name → the contract's class. Other classes run only if gunicorn's own flags select them.
_KNOWN = {
    **{each.value: each for each in _OURS},
    **{SUPPORTED_WORKERS[each.value]: each for each in _OURS},
}


def implementation(config: Config) -> type[Any]:
    """Return the class that runs the configuration's worker_class.

    A custom class is measured as far as possible without wrapping the app, and retires as it does under gunicorn.

    Raises:
        Exception: whatever the import of the class raises, mostly RuntimeError.
    """
    known = class_of(config)
    if known is not None:
        return _ours(known)
    chosen: type[Any] = config.worker_class
    if issubclass(chosen, MeasuredWorker):
        return chosen
    known = _KNOWN.get(f"{chosen.__module__}.{chosen.__qualname__}")  # the class itself, or an entry point's name
    if known is not None:
        return _ours(known)
    return measured_class(chosen)


def class_of(config: Config) -> WorkerClass | None:
    """Return which of the contract's classes the configuration runs, or None for a custom one."""
    return _KNOWN.get(config.worker_class_str)


def _ours(worker_class: WorkerClass) -> type[Any]:
    module, _, name = _OURS[worker_class].rpartition(".")
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise RuntimeError(f"{error}; pip install 'stablehand-server[{worker_class}]' brings it") from error
    return found
