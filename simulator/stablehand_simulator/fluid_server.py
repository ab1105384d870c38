"""One pod's server by formulas: requests flow through it, and it counts them as a real server would."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

from stablehand_simulator import gamma
from stablehand_simulator.exposition import ServerCounters, WorkerGauges, samples
from stablehand_simulator.guarded_change import GuardedChange
from stablehand_simulator.process import Counters
from stablehand_simulator.steady import Steady
from stablehand_simulator.worker_trial import WorkerTrial
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.trial import TrialOn
from stablehand_tuner.observe.snapshot import Snapshot, TrialReading, WorkerReading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_simulator.app import App, Machine
    from stablehand_tuner.contracts.settings_file import SettingsFile
    from stablehand_tuner.contracts.trial import Trial
    from stablehand_tuner.observe.exposition import Sample


_NOTHING = WorkerGauges(0.0, 0.0, 0.0, 0.0, 0.0)


class FluidServer:
    """One pod's server, driven by its cluster; `counts` is what it has counted, and what it runs.

    Args:
        settings: what runs from the start.
        machine: what the pod may use.
    """

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self.machine = machine
        self.runs = settings
        self.backlog = 0.0
        self.was_overloaded = False
        self.peak_memory_bytes = 0.0
        self.now = 0.0
        self.switched_at = math.inf
        self.counts = ServerCounters(desired=settings, active=settings)
        self.trial: WorkerTrial | None = None
        self.guarded: GuardedChange | None = None
        self._tried = Steady()
        self._counters: dict[int, Counters] = {index: Counters() for index in range(settings.workers)}
        self._state = Steady()
        self._app_bytes = (0.0, 0.0)
        self._template: Snapshot | None = None
        self._template_of: tuple[object, ...] = ()

    def apply(self, settings: Settings) -> None:
        """Write the settings that the server should run; they are active once all workers have booted, in turn."""
        if settings == self.counts.desired:
            return
        if self.trial is not None:
            self.trial.end(settings)
        self.counts.desired = settings
        boots = settings.workers
        if settings.worker_class is self.runs.worker_class:
            boots = 1 if settings.workers > self.runs.workers else 0  # the processes that run change in place
        self.switched_at = self.now + self.machine.boot_seconds * (1 if self.machine.refuses(settings) else boots)
        if not self.machine.refuses(settings):
            self.counts.active = None

    def write(self, file: SettingsFile) -> None:
        """Follow a settings file: what all workers should run, and what they, or one of them, should try."""
        guarded = self.guarded
        if guarded is not None and guarded.runs:
            if file.trial == guarded.trial:
                return
            guarded.state = "confirmed" if file.settings == guarded.target else "withdrawn"
        self.apply(file.settings)
        trial = file.trial
        if trial is None or trial.on is TrialOn.WORKER:
            self.try_out(trial)
        elif guarded is None or trial.id > guarded.trial.id:
            self.guarded = GuardedChange(trial, file.settings)
            self.apply(self.guarded.target)

    def try_out(self, trial: Trial | None) -> None:
        """Write what one worker should run instead, or that none should; a trial runs once."""
        last = self.trial
        if last is not None and trial != last.trial:
            last.end(None)
        if trial is None or (last is not None and trial.id <= last.trial.id) or math.isfinite(self.switched_at):
            return
        workers = self.runs.workers
        boots = not self.machine.refuses(trial.settings(workers))
        ready_at = self.now + self.machine.boot_seconds
        self.trial = WorkerTrial(trial, max(1, workers - 1), ready_at, share=1 / max(2, workers), boots=boots)
        self._counters.setdefault(self.trial.index, Counters())

    @property
    def on_trial(self) -> Settings | None:
        """What a server would run whose workers all run what one of them tries now; None if none does."""
        if self.trial is None or not self.trial.runs:
            return None
        return self.trial.trial.settings(self.runs.workers)

    def switch(self) -> None:
        """End the switch that is under way."""
        self.switched_at = math.inf
        counts = self.counts
        if self.machine.refuses(counts.desired):
            counts.rejected += 1
            counts.desired = self.runs
        else:
            self.runs = counts.active = counts.desired
            counts.generation += 1
            for index in range(self.runs.workers):
                self._counters.setdefault(index, Counters())

    def serve(self, app: App, state: Steady, until: float, factor: float, tried: Steady | None = None) -> None:
        """Count what happens until then.

        Args:
            app: what requests do.
            state: what the pod does.
            until: seconds.
            factor: the noise of this interval.
            tried: what it would do if all workers ran what one of them tries.
        """
        seconds = until - self.now
        self.now, self._state = until, state
        self._app_bytes = (app.process_bytes, app.request_bytes)
        if seconds <= 0:
            return
        workers, counts = self.runs.workers, self.counts
        lost = self._kill(app, state, seconds)
        done = state.throughput * seconds * factor
        errors = state.errors
        if self.guarded is not None and self.runs == self.guarded.target:
            errors = self.guarded.look(done, errors)
            if self.guarded.state == "failed":
                self.apply(self.guarded.base)
        ordinary, theirs = list(range(workers)), 1.0
        if self.trial is not None:
            if tried is not None and self.trial.runs:
                self._tried = tried
                mine = self._counters[self.trial.index]
                self.trial.serve(mine, done, tried=tried, before=state, seconds=seconds)
                theirs = 1 - self.trial.share
                ordinary = [index for index in ordinary if index != self.trial.index]
            self.trial.advance(until)
        part = theirs / len(ordinary)
        for index in ordinary:
            each = self._counters[index]
            each.requests += done * part + lost / len(ordinary)
            each.errors += done * errors * part
            each.lost += lost / len(ordinary)
            each.busy += state.inside * seconds * factor * part
            each.cpu += state.cores_used * seconds * factor * part
            each.run_delay += state.run_delay * seconds * factor * part
        counts.queue_seconds += state.queued * seconds
        counts.throttled_seconds += state.throttled * seconds
        for place, share in enumerate(_shares(state.inside_seconds, state.inside_deviation)):
            counts.durations.counts[place] += done * share

    def _kill(self, app: App, state: Steady, seconds: float) -> float:
        """Return how many requests are lost because workers are killed for their memory."""
        surge = 1 if self.counts.active is None else 0
        memory = (self.runs.workers + surge) * app.process_bytes + state.occupied * app.request_bytes
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        if self.machine.memory_limit is None or memory <= self.machine.memory_limit:
            return 0.0
        killed = math.ceil(seconds / (self.machine.boot_seconds + 1))
        self.counts.oom_exits += killed
        return killed * state.occupied / self.runs.workers

    def snapshot(self) -> Snapshot:
        """Scrape the server; the same as `Snapshot.from_samples` of `samples`, but faster."""
        counts = self.counts
        trial = self._reading()
        template_of = (self.runs, counts.active, counts.desired, counts.rejected, counts.generation, trial)
        if self._template is None or template_of != self._template_of:
            self._template = Snapshot.from_samples(self.samples(), self.now)
            self._template_of = template_of
            return self._template
        living = self._living()
        workers = {}
        for index, each in self._counters.items():
            lives, gauges = index in living, living.get(index, _NOTHING)
            workers[index] = WorkerReading(
                requests=each.requests,
                errors=each.errors + each.lost,
                busy_seconds=each.busy,
                cpu_seconds=each.cpu,
                run_delay_seconds=each.run_delay,
                slots=gauges.slots if lives else 0.0,
                busy_slots=gauges.busy_slots if lives else 0.0,
                connections=gauges.connections if lives else 0.0,
                lag_seconds=gauges.lag_seconds if lives else 0.0,
                memory_bytes=(gauges.memory_bytes or None) if lives else None,
            )
        return dataclasses.replace(
            self._template,
            at=self.now,
            workers=workers,
            duration_buckets=tuple(counts.durations.cumulative()),
            queue_seconds=counts.queue_seconds,
            backlog=self._backlog(),
            oom_exits=float(counts.oom_exits),
            throttled_seconds=counts.throttled_seconds,
        )

    def samples(self) -> Iterator[Sample]:
        """Yield the exposition of this moment, sample by sample."""
        living = self._living()
        return samples(
            self.counts,
            self.machine,
            self._counters,
            living,
            ready=len(living),
            backlog=self._backlog(),
            trial=self._reading(),
        )

    def _reading(self) -> TrialReading:
        readings = [each.reading() for each in (self.trial, self.guarded) if each is not None]
        return max(readings, key=lambda each: each.id, default=TrialReading(0, "", None))

    def _living(self) -> dict[int, WorkerGauges]:
        living = dict.fromkeys(range(self.runs.workers), self._gauges())
        tried = self.on_trial
        if self.trial is not None and tried is not None:
            part, (process, request) = 1 / self.runs.workers, self._app_bytes
            living[self.trial.index] = WorkerGauges(
                slots=tried.slots_per_worker,
                busy_slots=self._tried.inside * part,
                connections=self._tried.occupied * part,
                lag_seconds=self._tried.lag,
                memory_bytes=process + request * self._tried.occupied * part,
            )
        return living

    def _gauges(self) -> WorkerGauges:
        state, workers = self._state, self.runs.workers
        process, request = self._app_bytes
        accepted = min(self._outside(), self._room_inside())
        return WorkerGauges(
            slots=self.runs.slots_per_worker,
            busy_slots=state.inside / workers,
            connections=(state.occupied + accepted) / workers,
            lag_seconds=state.lag,
            memory_bytes=process + request * state.occupied / workers,
        )

    def _outside(self) -> float:
        """Return how many requests have no slot."""
        if self.was_overloaded:
            return self.backlog
        return max(self.backlog, self._state.inside + self._state.queued - self._state.occupied)

    def _room_inside(self) -> float:
        if self.runs.worker_class is not WorkerClass.GTHREAD:
            return 0.0
        return self.runs.workers * max(0.0, self.runs.worker_connections - self.runs.threads)

    def _backlog(self) -> float:
        return max(0.0, self._outside() - self._room_inside())


@functools.lru_cache(maxsize=256)  # from scrape to scrape the state is mostly the same
def _shares(mean: float, deviation: float) -> tuple[float, ...]:
    """Return the share of requests in each bucket of the histogram."""
    below = [gamma.share_below(bound, mean, deviation) for bound in DURATION_BUCKETS]
    return tuple(high - low for low, high in zip((0.0, *below), (*below, 1.0), strict=True))
