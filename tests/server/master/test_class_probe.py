from __future__ import annotations

import os
import sys
import warnings

import pytest

from stablehand_server import workers
from stablehand_server.master import class_probe
from stablehand_server.shared_memory import Server, Slots
from stablehand_tuner.contracts.settings import WorkerClass


def available():
    """Probe in a child, as the server does, and return what is published then."""
    slots = Slots()
    child = os.fork()
    if not child:
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            class_probe.probe(slots)
        os._exit(len(shown))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "a warning was shown"
    bitmap = int(slots.server[Server.AVAILABLE_CLASSES])
    return {each for place, each in enumerate(WorkerClass) if bitmap & 1 << place}


def test_every_class_whose_package_is_there_is_available_and_no_warning_is_shown():
    assert available() == set(WorkerClass)


@pytest.mark.parametrize("missing", ["gevent", "tornado"])
def test_a_class_whose_package_is_missing_is_not_available(monkeypatch, missing):
    real = workers.implementation

    def without(config):
        if config.worker_class_str == missing:
            raise RuntimeError(f"No module named {missing!r}")
        return real(config)

    monkeypatch.setattr(class_probe.workers, "implementation", without)

    assert available() == set(WorkerClass) - {WorkerClass(missing)}


def test_a_class_whose_package_is_there_but_broken_is_not_available(monkeypatch):
    monkeypatch.setitem(sys.modules, "eventlet", None)

    assert available() == set(WorkerClass) - {WorkerClass.EVENTLET}
