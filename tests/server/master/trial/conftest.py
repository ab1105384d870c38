from __future__ import annotations

import itertools
import logging
import math
from types import SimpleNamespace

import pytest

from stablehand_server.config.flags import ServerConfig
from stablehand_server.master import generation as generations
from stablehand_server.master.backoff import GrowingPause
from stablehand_server.master.supervisor import Ending
from stablehand_server.master.switching import Switching
from stablehand_server.master.trial import deeds
from stablehand_server.master.trial.earlier import Earlier
from stablehand_server.master.trial.trials import Trials
from stablehand_server.shared_memory import Cell, Server, Slots
from stablehand_tuner.contracts.metric_names import TRIAL_OUTCOMES, TRIAL_STATES

LOG = logging.getLogger(__name__)
ENDED = Ending("error", "it exited with code 1", None)


class Memory:
    """A judge of memory who says what the test wants."""

    suffices = True

    def surge(self, _):
        """Return by how many processes a switch may exceed the number of workers."""
        return int(self.suffices)

    def forget(self):
        """Have nothing to forget."""


class Master(Trials):
    """The master without gunicorn: its workers are no processes, and boot and end as the test says."""

    def __init__(self, settings):
        self.slots = Slots()
        self.log = LOG
        self.cfg = SimpleNamespace(retire_limit=0, retire_timeout=0, graceful_timeout=30)
        self.WORKERS = {}
        self.paused = self.waits = self._stopping = False
        self._asked = self._run = self._on_all = None
        self._deeds = deeds.ServerDeeds(self.slots)
        self._earlier, self._notes_from, self.counts_change = Earlier(), 0.0, True
        self._respawning = GrowingPause(1.0, 5.0)
        self._memory = Memory()
        self._switching = Switching(generations.from_settings(ServerConfig(), settings, 1, "a file", LOG))
        self._ages = itertools.count(1)
        self.go_on()

    num_workers = 0

    def spawn_worker(self, index=None, generation=None):
        """Add a worker that boots."""
        target, age = generation or self._switching.target, next(self._ages)
        record = self.slots.allocate(
            index=index,
            age=age,
            worker_class=0,
            slots=1,
            threads=target.config.threads,
            worker_connections=target.config.worker_connections,
        )
        self.WORKERS[age] = SimpleNamespace(
            pid=age,
            age=age,
            ready=False,
            retiring_since=None,
            superseded=False,
            aborted=False,
            tmp=SimpleNamespace(last_update=lambda: math.inf),
            linger_seconds=lambda: 5.0,
            assignment=SimpleNamespace(index=index, generation=target.number, record=record),
        )
        return age

    def kill_worker(self, pid, sig):
        """Leave a worker to the test: its record says what it was told."""

    def boot(self):
        """Let every worker that boots become ready."""
        for worker in self.WORKERS.values():
            worker.tmp = SimpleNamespace(last_update=lambda: 0.0)

    def end(self, pid):
        """Let a worker end."""
        worker = self.WORKERS.pop(pid)
        self.slots.release(worker.assignment.record)
        self.worker_ended(worker, ENDED)

    def go_on(self):
        """Take steps until nothing is left to do."""
        for _ in range(20):
            self.step()
            self.boot()
            for worker in [each for each in self.WORKERS.values() if each.retiring_since is not None]:
                self.end(worker.pid)

    def state(self):
        """Return the state of the trial."""
        return TRIAL_STATES[int(self.slots.server[Server.TRIAL_STATE]) - 1]

    def generations(self):
        """Return the generation of each worker, by index."""
        return {int(w.assignment.record.cells[Cell.INDEX]): w.assignment.generation for w in self.WORKERS.values()}

    def ended(self):
        """Return how many trials ended."""
        return sum(self.slots.server[Server.TRIALS : Server.TRIALS + len(TRIAL_OUTCOMES)])

    def on_trial(self):
        """Return the worker on trial."""
        (found,) = (each for each in self.WORKERS.values() if each.assignment.record.cells[Cell.ON_TRIAL])
        return found


@pytest.fixture
def make_master():
    """Return a function that makes a master, which serves with the settings that it gets."""
    return Master
