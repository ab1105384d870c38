from __future__ import annotations

from stablehand_server import worker_class_probe, workers
from stablehand_server.slots import Server, Slots
from stablehand_tuner.settings import WorkerClass


def available(slots):
    bitmap = int(slots.server[Server.AVAILABLE_CLASSES])
    return {each for place, each in enumerate(WorkerClass) if bitmap & 1 << place}


def test_a_class_whose_package_is_missing_is_not_available(monkeypatch):
    real = workers.implementation

    def without_gevent(config):
        if config.worker_class_str == "gevent":
            raise RuntimeError("gevent worker requires gevent")
        return real(config)

    monkeypatch.setattr(worker_class_probe.workers, "implementation", without_gevent)
    slots = Slots()
    worker_class_probe.probe(slots)

    assert available(slots) == {WorkerClass.SYNC, WorkerClass.GTHREAD}


def test_classes_that_this_server_does_not_support_are_never_claimed(monkeypatch):
    monkeypatch.setattr(worker_class_probe.workers, "implementation", lambda _: object)
    slots = Slots()
    worker_class_probe.probe(slots)

    assert available(slots) == set(workers.SUPPORTED)
