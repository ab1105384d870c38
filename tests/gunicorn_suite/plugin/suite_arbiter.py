"""Our arbiter as gunicorn's unit tests use it: never started, with mocks for workers."""

from __future__ import annotations

import dataclasses
import time
from typing import Any
from unittest import mock

from stablehand_server.config.reload import Footing
from stablehand_server.master import generation
from stablehand_server.master.arbiter import LiveArbiter
from stablehand_server.master.switching import Switching
from stablehand_server.shared_memory import Slots
from stablehand_server.workers.common.base import Assignment


def assignment(index: int = 0) -> Assignment:
    """Return the place of a worker that no arbiter has forked."""
    record = Slots().allocate(index=index, age=1, worker_class=0, slots=1, threads=1, worker_connections=1)
    return Assignment(index, 1, record)


class SuiteArbiter(LiveArbiter):
    """A LiveArbiter that knows what to run without having been started: the tests call its methods at once."""

    def __init__(self, app: Any) -> None:
        self._workers: dict[int, Any] = {}
        self._worker_class: Any = None
        super().__init__(app)
        self._switching = Switching(generation.from_configuration(self.cfg, 1, self.log))
        self._footing = self._serving_footing = Footing(self.cfg, self.app.app_uri, self.app.callable, ())

    @property
    def WORKERS(self) -> dict[int, Any]:  # noqa: N802 (gunicorn's name)
        """The workers; a mock among them gets what the master notes of each of ours."""
        return self._workers

    @WORKERS.setter
    def WORKERS(self, workers: dict[int, Any]) -> None:  # noqa: N802
        for index, (pid, worker) in enumerate(workers.items()):
            worker.pid = pid
            worker.assignment = assignment(index)
            worker.spawned_at = time.monotonic()
            worker.ready = not isinstance(worker.tmp.last_update(), mock.Mock)  # a test says when it last beat, or not
            worker.retiring_since = None
            worker.aborted_at = 0.0
            worker.signalled = worker.signalled_early = worker.superseded = False
            worker.aborted = worker.aborted is True
            worker.overstays = False
        self._workers = workers

    @property
    def worker_class(self) -> Any:
        """The class of the next worker; a mock that a test puts here is what the wanted generation runs."""
        return self._worker_class

    @worker_class.setter
    def worker_class(self, value: Any) -> None:
        self._worker_class = value
        if isinstance(value, mock.Mock):
            value.slots.return_value = 1
            self._switching.begin(dataclasses.replace(self._switching.target, worker_class=value), replaced=0)
