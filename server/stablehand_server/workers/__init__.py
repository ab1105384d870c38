"""gunicorn's worker classes, measured, and made to retire without failing a request; one file a class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.base import MeasuredWorker

if TYPE_CHECKING:
    from gunicorn.config import Config
from stablehand_tuner.settings import WorkerClass

# gunicorn's class → ours. Settings may ask for these classes; others run, but only by gunicorn's own flags.
_OURS = {
    "gunicorn.workers.sync.SyncWorker": "stablehand_server.workers.sync.SyncWorker",
    "gunicorn.workers.gthread.ThreadWorker": "stablehand_server.workers.gthread.ThreadWorker",
    "gunicorn.workers.ggevent.GeventWorker": "stablehand_server.workers.gevent.GeventWorker",
}
SUPPORTED = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT)


def implementation(config: Config) -> type[Any]:
    """Return the class that runs what the configuration's worker_class says.

    A class of the user's own is measured, and retires as gunicorn lets it.

    Raises:
        Exception: whatever the import of the class raises, mostly RuntimeError.
    """
    chosen: type[Any] = config.worker_class
    ours = _OURS.get(f"{chosen.__module__}.{chosen.__qualname__}")
    if ours is not None:
        module, _, name = ours.rpartition(".")
        found: type[Any] = getattr(importlib.import_module(module), name)
        return found
    if issubclass(chosen, MeasuredWorker):
        return chosen
    return type(chosen.__name__, (MeasuredWorker, chosen), {})


def class_of(config: Config) -> WorkerClass | None:
    """Return which of the contract's classes the configuration runs, or None for another."""
    name = config.worker_class_str
    known = {uri: ours.rpartition(".")[0].rpartition(".")[2] for uri, ours in _OURS.items()}
    try:
        return WorkerClass(known.get(name, name))
    except ValueError:
        return None
