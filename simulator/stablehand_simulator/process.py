"""One worker process: its slots, the requests in it, and what it has counted."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_simulator.app import EVENTED
from stablehand_simulator.interpreter import EventLoop, Interpreter, Request, SharedInterpreter

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings


@dataclasses.dataclass
class Counters:
    """What one worker index has counted; it continues over the processes that have the index."""

    requests: float = 0.0
    errors: float = 0.0
    lost: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    run_delay: float = 0.0


class Process:
    """One worker, from its boot to its end.

    `requests` are those that hold a slot; `inside` counts those of them that the app has begun.
    """

    def __init__(self, index: int, settings: Settings, generation: int, counters: Counters) -> None:
        self.index = index
        self.settings = settings
        self.generation = generation
        self.counters = counters
        self.is_evented = settings.worker_class in EVENTED
        self.interpreter: Interpreter = EventLoop() if self.is_evented else SharedInterpreter()
        self.requests: set[Request] = set()
        self.inside = 0
        self.booting = True
        self.retiring = False
        self.version = 0
        self.is_running = False
        self._at = 0.0
        self._clock = 0.0

    @property
    def slots(self) -> int:
        """Requests that it can serve at once."""
        return self.settings.slots_per_worker

    @property
    def serves(self) -> bool:
        """Whether it accepts requests."""
        return not self.booting and not self.retiring

    @property
    def has_free_slot(self) -> bool:
        """Whether it accepts one more request."""
        return not self.booting and not self.retiring and len(self.requests) < self.slots

    def account(self, now: float, clock: float) -> None:
        """Count the time since the last call, during which nothing changed in the process."""
        seconds, computed = now - self._at, clock - self._clock
        self._at, self._clock = now, clock
        counters = self.counters
        counters.busy += self.inside * seconds
        if self.is_running:
            self.interpreter.advance(computed)
            counters.cpu += computed
            counters.run_delay += max(0.0, seconds - computed)

    def lag(self) -> float:
        """Return how late a timer in the process fires, seconds."""
        return self.interpreter.lag()
