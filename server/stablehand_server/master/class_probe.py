"""Determines which worker classes can run here by importing them in a temporary child process.

The master must not import them: gevent, once imported, would be in every process that it forks.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from stablehand_server import workers
from stablehand_server.gunicorn_internals.settings import Config
from stablehand_server.shared_memory import Server
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from stablehand_server.shared_memory import Slots

# What only a worker imports.
_IMPORTED_LATER = {WorkerClass.EVENTLET: ("eventlet",)}


def probe(slots: Slots) -> None:
    """Import each class, and publish those that can be imported: the main function of a temporary child process."""
    bitmap = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that it is deprecated
        for place, worker_class in enumerate(WorkerClass):
            if _imports(worker_class):
                bitmap |= 1 << place
    slots.server[Server.AVAILABLE_CLASSES] = float(bitmap)


def _imports(worker_class: WorkerClass) -> bool:
    config = Config()
    config.set("worker_class", worker_class.value)
    if worker_class is WorkerClass.GTHREAD:
        config.set("threads", 2)
    try:
        workers.implementation(config)
        for module in _IMPORTED_LATER.get(worker_class, ()):
            importlib.import_module(module)
    except Exception:  # noqa: BLE001 (a package that is missing, too old or broken: the class does not run here)
        return False
    return True
