"""The workers of one simulated server: booted, switched to other settings, retired, killed for their memory.

The switch follows the server's own plan (`stablehand_server.master.rolling_plan`): beside the old generation the new
one boots with a surge of one process, and an old worker retires only when a new one is ready. A change that needs no
new processes starts none.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from stablehand_simulator.process import Counters, Process
from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_simulator.agenda import Agenda
    from stablehand_simulator.app import Machine
    from stablehand_simulator.exposition import ServerCounters

GRACEFUL_SECONDS = 30.0
"""How long a retiring worker may take to finish its requests (gunicorn's default)."""

LOOK_SECONDS = 1.0
"""How often the server checks its workers, in seconds."""


class Workers:
    """The processes of one server.

    Args:
        settings: what runs from the start.
        machine: how long a worker takes to boot, and which settings the server refuses.
        agenda: for the events at which workers have booted.
        server: where the settings in force and the outcomes are counted.
        changed: called when workers were added or removed.
        kill: called for a worker that does not end in time.
    """

    def __init__(
        self,
        settings: Settings,
        machine: Machine,
        agenda: Agenda,
        *,
        server: ServerCounters,
        changed: Callable[[], None],
        kill: Callable[[Process], None],
    ) -> None:
        self.counters: dict[int, Counters] = {}
        self.living: list[Process] = []
        self._machine = machine
        self._agenda = agenda
        self._server = server
        self._changed = changed
        self._kill = kill
        self._settings = settings
        self._generation = 0
        self._replaced = 0
        self._will_look = False
        for _ in range(settings.workers):
            self._spawn().booting = False

    def apply(self, settings: Settings) -> None:
        """Begin to switch to these settings."""
        server = self._server
        if settings == server.desired:
            return
        server.desired = settings
        if self._machine.refuses(settings):
            self._agenda.after(self._machine.boot_seconds, lambda: self._refuse(settings))
            return
        grows_in_place = (
            settings.worker_class is self._settings.worker_class
            and settings.slots_per_worker >= self._settings.slots_per_worker
            and settings.worker_class in {WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT}
        )
        self._settings = settings
        server.active = None
        staying = [each for each in self.living if not each.retiring]
        if grows_in_place and all(each.generation == self._generation for each in staying):
            for each in staying:
                each.settings = settings
        else:
            self._generation += 1
        self._replaced = sum(each.generation != self._generation and not each.booting for each in staying)
        self.go_on()

    def go_on(self) -> None:
        """Take the next step of the switch: spawn workers that are missing, retire those that have a successor."""
        workers = self._settings.workers
        staying = [each for each in self.living if not each.retiring]
        old = [each for each in staying if each.generation != self._generation]
        new = [each for each in staying if each.generation == self._generation]
        ready = sum(not each.booting for each in new)
        keep = math.ceil(self._replaced * (1 - min(1.0, ready / workers)))
        old.sort(key=lambda each: not each.booting)
        for each in (*new[workers:], *old[: max(0, len(old) - keep)]):
            self._retire(each)
        missing = workers - len(new)
        if old and missing > 0:
            may_boot = ready == len(new) and len(self.living) < max(self._replaced, workers) + 1
            missing = 1 if may_boot else 0
        for _ in range(missing):
            process = self._spawn()
            self._agenda.after(self._machine.boot_seconds, lambda booted=process: self._booted(booted))  # type: ignore[misc]  # mypy cannot infer a default
        if ready >= workers and len(old) <= max(0, len(old) - keep) and self._server.active != self._settings:
            self._server.active = self._settings
            self._server.generation += 1
        self._changed()

    def ended(self, process: Process) -> None:
        """Remove a process that has retired."""
        self.living.remove(process)
        self.go_on()

    def killed(self, process: Process) -> None:
        """Remove a process that was killed; the server notices at its next check."""
        self.living.remove(process)
        if not self._will_look:
            self._will_look = True
            self._agenda.after(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._will_look = False
        self.go_on()

    def _spawn(self) -> Process:
        taken = {each.index for each in self.living}
        index = next(index for index in itertools.count() if index not in taken)
        counters = self.counters.setdefault(index, Counters())
        process = Process(index, self._settings, self._generation, counters)
        process.account(self._agenda.now, 0.0)
        self.living.append(process)
        return process

    def _booted(self, process: Process) -> None:
        if process in self.living and not process.retiring:
            process.booting = False
            self.go_on()

    def _retire(self, process: Process) -> None:
        process.retiring = True
        if not process.requests:
            self.living.remove(process)
            return
        self._agenda.after(GRACEFUL_SECONDS, lambda: self._lose_patience(process))

    def _lose_patience(self, process: Process) -> None:
        if process in self.living:
            self._kill(process)

    def _refuse(self, settings: Settings) -> None:
        if self._server.desired == settings:
            self._server.rejected += 1
            self._server.desired = self._settings
