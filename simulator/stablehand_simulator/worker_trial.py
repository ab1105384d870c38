"""A trial on one worker of a pod that is simulated by formulas, with the guard that a real server has.

Its requests go as they would if all workers ran what is on trial; where requests wait, it takes as many as it can
serve, and else its share of them. The siblings go on as before: that one worker in several is another one changes
little for them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.observe.snapshot import TrialReading

if TYPE_CHECKING:
    from stablehand_simulator.process import Counters
    from stablehand_simulator.steady import Steady
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.trial import Trial

FOUND_AFTER = 12.0  # failed requests, as measured on a real server with a class that fails all
FAILED_OF_GUARD = 0.5  # of the guard's share: less is never harm


@dataclasses.dataclass
class WorkerTrial:
    """A trial in a server.

    Attributes:
        trial: what was asked for.
        index: of the worker that runs it.
        ready_at: when that has booted, seconds.
        share: of the server's requests, that it gets.
        boots: whether it can boot at all.
    """

    trial: Trial
    index: int
    ready_at: float
    share: float
    boots: bool = True
    state: str = "booting"
    failed: float = 0.0

    @property
    def runs(self) -> bool:
        """Whether its worker serves."""
        return self.state == "running"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in {"booting", "running"}

    def reading(self) -> TrialReading:
        """Return what the server reports of it."""
        return TrialReading(self.trial.id, self.state, self.index if self.runs else None)

    def advance(self, now: float) -> None:
        """Let its worker boot, or its time be over."""
        if self.state == "booting" and now >= self.ready_at:
            self.state = "running" if self.boots else "boot_failure"
        elif self.runs and now >= self.ready_at + self.trial.seconds:
            self.state = "expired"

    def end(self, asked: Settings | None) -> None:
        """End it, because settings are asked for: those on trial, others, or none in its place."""
        if not self.is_over:
            shown = asked is not None and self.trial.settings(asked.workers).worker_class is asked.worker_class
            self.state = "confirmed" if shown and self.runs else "withdrawn" if self.runs else "not_started"

    def serve(self, counters: Counters, requests: float, *, tried: Steady, before: Steady, seconds: float) -> None:
        """Count what its worker does, and guard it.

        Args:
            counters: its worker's.
            requests: that the whole server finished in this time before the trial.
            tried: what a server does whose workers all run what is on trial.
            before: what this one did.
            seconds: for how long.
        """
        served = requests * self.share
        if before.queued >= 1:
            served = max(served, min(tried.throughput * self.share * seconds, requests + before.queued))
        guard = self.trial.guard
        if tried.errors - before.errors >= FAILED_OF_GUARD * guard.failed_share:
            room = max(0.0, FOUND_AFTER - self.failed) / tried.errors
            if served >= room:
                served, self.state = room, "failed"
        elif tried.lag - before.lag > guard.late_seconds:
            self.state = "late"
        self.failed += served * tried.errors
        each = 1 / tried.throughput if tried.throughput else 0.0
        counters.requests += served
        counters.errors += served * tried.errors
        counters.busy += served * tried.inside * each
        counters.cpu += served * tried.cores_used * each
        counters.run_delay += served * tried.run_delay * each
