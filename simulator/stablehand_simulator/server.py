"""One simulated server: requests arrive, wait for a slot, compute, wait, and are answered."""

from __future__ import annotations

import heapq
import itertools
import math
import weakref
from collections import deque
from typing import TYPE_CHECKING

from stablehand_simulator.app import CONVOY
from stablehand_simulator.backend import Backend
from stablehand_simulator.cores import Cores
from stablehand_simulator.exposition import ServerCounters, WorkerGauges, samples
from stablehand_simulator.interpreter import Request
from stablehand_simulator.workers import Workers
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.snapshot import Snapshot

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from stablehand_simulator.agenda import Agenda
    from stablehand_simulator.app import App, Machine
    from stablehand_simulator.process import Process
    from stablehand_tuner.observe.exposition import Sample

_DONE = 1e-9  # seconds; less work than this is a rounding error


class Server:
    """One pod's server, driven by its cluster's agenda; `counts` is what it has counted, and what it runs.

    Args:
        app: what requests do.
        settings: what runs from the start.
        machine: what the pod may use.
        chance: the random numbers.
        agenda: the cluster's.
        backend: what requests wait for.
        answered: called with each request that is answered, or lost.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        machine: Machine,
        *,
        chance: random.Random,
        agenda: Agenda,
        backend: Backend,
        answered: Callable[[Request], None],
    ) -> None:
        self.app = app
        self.machine = machine
        self.peak_memory_bytes = 0.0
        self._chance = chance
        self._agenda = agenda
        self._backend = backend
        self._limited: dict[tuple[float, float], Backend] = {}
        self._pools: weakref.WeakKeyDictionary[Process, Backend] = weakref.WeakKeyDictionary()
        self._answered = answered
        self._cores = Cores(machine.cores, machine.whole_cores)
        self._queue: deque[Request] = deque()
        self._sequence = itertools.count()
        self._completions: list[tuple[float, int, int, Process | Request]] = []
        self.counts = ServerCounters(desired=settings, active=settings)
        self._workers = Workers(
            settings, machine, agenda, server=self.counts, changed=self._workers_changed, kill=self._kill
        )
        self._watch_memory()

    @property
    def in_flight(self) -> int:
        """Requests that the server has, waiting for a slot or in one."""
        return len(self._queue) + sum(len(each.requests) for each in self._workers.living)

    def apply(self, settings: Settings) -> None:
        """Write the settings that the server should run; they are active once its workers have booted."""
        self._workers.apply(settings)

    def offer(self, request: Request) -> bool:
        """Take a request; False when the kernel's queue is full."""
        if len(self._queue) >= self.machine.listen_backlog + self._room_inside():
            return False
        self._queue.append(request)
        self._dispatch()
        return True

    def next_at(self) -> float:
        """Return the time of the next change in the server; infinity if there is none."""
        completions = self._completions
        while completions and not self._is_current(completions[0]):
            heapq.heappop(completions)
        done = self._cores.until(completions[0][0]) if completions else math.inf
        return min(done, self._cores.next_change())

    def advance(self, now: float) -> None:
        """Let time pass; never beyond `next_at`."""
        self._cores.advance(now)

    def complete(self) -> None:
        """Complete the work that is done by now."""
        completions = self._completions
        while completions and (not self._is_current(completions[0]) or completions[0][0] <= self._cores.clock + _DONE):
            entry = heapq.heappop(completions)
            if not self._is_current(entry):
                continue
            self._end_of(entry[3])

    def snapshot(self) -> Snapshot:
        """Scrape the server."""
        return Snapshot.from_samples(self.samples(), at=self._agenda.now)

    def samples(self) -> Iterator[Sample]:
        """Yield the exposition of this moment, sample by sample."""
        living = {}
        for each in self._workers.living:
            self._account(each)
        serving = [each for each in self._workers.living if not each.booting]
        accepted = min(len(self._queue), self._room_inside()) / max(1, len(serving))
        for each in serving:
            living[each.index] = WorkerGauges(
                slots=each.slots,
                busy_slots=each.inside,
                connections=len(each.requests) + accepted,
                lag_seconds=each.lag() / max(0.01, self._cores.pace),
                memory_bytes=self.app.process_bytes + self.app.request_bytes * len(each.requests),
            )
        self.counts.throttled_seconds = self._cores.throttled_seconds
        return samples(
            self.counts,
            self.machine,
            self._workers.counters,
            living,
            ready=sum(each.serves for each in serving),
            backlog=max(0, len(self._queue) - self._room_inside()),
        )

    def _room_inside(self) -> int:
        """Return how many connections gthread workers accept before a thread is free; other classes accept none."""
        return sum(
            max(0, each.settings.worker_connections - each.slots)
            for each in self._workers.living
            if each.serves and each.settings.worker_class is WorkerClass.GTHREAD
        )

    def _workers_changed(self) -> None:
        self._watch_memory()
        self._dispatch()

    def _dispatch(self) -> None:
        """Give the queue's requests to workers with a free slot, at random, as accept() does."""
        while self._queue:
            free = [each for each in self._workers.living if each.has_free_slot]
            if not free:
                return
            self._start(self._queue.popleft(), self._chance.choice(free) if len(free) > 1 else free[0])

    def _start(self, request: Request, process: Process) -> None:
        self._account(process)
        request.process = process
        share = self.app.error_share.get(process.settings.worker_class, 0.0)
        request.failed = bool(share) and self._chance.random() < share
        if process.is_evented:
            request.compute += request.compute_unlocked
            request.compute_unlocked = 0.0
            request.holds = self.app.blocks_event_loop and request.wait > 0
        process.requests.add(request)
        if not process.is_evented:
            self._begin(request)
        request.is_second_half = not (request.wait or request.compute_unlocked)
        self._compute(request, process, 1.0 if request.is_second_half else 0.5)
        self._refresh(process)
        self._watch_memory()

    def _compute(self, request: Request, process: Process, part: float) -> None:
        """Let a request compute a part of its work; with threads more, while others compute (a convoy)."""
        seconds = request.compute
        if process.settings.worker_class is WorkerClass.GTHREAD:
            seconds += self.app.thread_overhead * min(CONVOY, process.interpreter.crowd())
        process.interpreter.add(request, part * seconds)

    def _begin(self, request: Request) -> None:
        request.is_inside, request.began = True, self._agenda.now
        request.process.inside += 1
        self.counts.queue_seconds += self._agenda.now - request.arrived

    def _account(self, process: Process) -> None:
        process.account(self._agenda.now, self._cores.clock)

    def _refresh(self, process: Process) -> None:
        """Compute again when the process is done next, after something in it changed."""
        starting = process.interpreter.starting()
        if starting is not None and not starting.is_inside:
            self._begin(starting)
        remaining = process.interpreter.remaining()
        self._cores.runnable += (remaining is not None) - process.is_running
        process.is_running = remaining is not None
        process.version += 1
        if remaining is not None:
            entry = (self._cores.clock + remaining, next(self._sequence), process.version, process)
            heapq.heappush(self._completions, entry)

    def _is_current(self, entry: tuple[float, int, int, Process | Request]) -> bool:
        version, what = entry[2], entry[3]
        return not what.lost if isinstance(what, Request) else what.version == version

    def _end_of(self, what: Process | Request) -> None:
        if isinstance(what, Request):
            self._computed_unlocked(what)
            return
        self._account(what)
        request = what.interpreter.pop()
        if request.is_second_half:
            self._finish(request, what)
            return
        request.is_second_half = True
        if request.compute_unlocked:
            request.computes_unlocked, request.since = True, self._agenda.now
            self._cores.runnable += 1
            end = self._cores.clock + request.compute_unlocked
            heapq.heappush(self._completions, (end, next(self._sequence), 0, request))
        else:
            self._wait(request)
        self._refresh(what)

    def _computed_unlocked(self, request: Request) -> None:
        process = request.process
        self._account(process)
        self._cores.runnable -= 1
        request.computes_unlocked = False
        process.counters.cpu += request.compute_unlocked
        process.counters.run_delay += max(0.0, self._agenda.now - request.since - request.compute_unlocked)
        self._wait(request)
        self._refresh(process)

    def _wait(self, request: Request) -> None:
        process = request.process
        if not request.wait:
            self._compute(request, process, 0.5)
            return
        if request.holds:
            process.interpreter.hold(request)
        self._backend_of(process).serve(request, lambda: self._waited(request))

    def _backend_of(self, process: Process) -> Backend:
        """Return what the requests of a process wait for."""
        app = self.app
        if math.isfinite(app.pod_connections):
            limits = (app.pod_connections, app.refused_seconds)
            if limits not in self._limited:
                self._limited[limits] = Backend(self._agenda, app.pod_connections, refuses_after=app.refused_seconds)
            return self._limited[limits]
        if math.isinf(app.process_connections):
            return self._backend
        pool = self._pools.get(process)
        if pool is None:
            pool = self._pools[process] = Backend(self._agenda, app.process_connections)
        return pool

    def _waited(self, request: Request) -> None:
        if request.lost:
            return
        process = request.process
        self._account(process)
        if request.holds:
            process.interpreter.resume(request, request.compute / 2)
        else:
            self._compute(request, process, 0.5)
        self._refresh(process)

    def _finish(self, request: Request, process: Process) -> None:
        process.requests.remove(request)
        process.inside -= 1
        self._refresh(process)
        process.counters.requests += 1
        process.counters.errors += request.failed
        self.counts.durations.observe(self._agenda.now - request.began)
        if process.retiring and not process.requests:
            self._workers.ended(process)
        self._answered(request)
        self._dispatch()

    def _watch_memory(self) -> None:
        """Kill the largest worker, as the kernel does, while all workers together exceed the limit."""
        limit = math.inf if self.machine.memory_limit is None else self.machine.memory_limit
        while True:
            living = self._workers.living
            held = sum(len(each.requests) for each in living)
            memory = len(living) * self.app.process_bytes + held * self.app.request_bytes
            self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
            if memory <= limit or not living:
                return
            self.counts.oom_exits += 1
            self._kill(max(living, key=lambda each: len(each.requests)))

    def _kill(self, process: Process) -> None:
        self._account(process)
        self._cores.runnable -= process.is_running + sum(each.computes_unlocked for each in process.requests)
        process.version += 1
        lost = sorted(process.requests, key=lambda each: each.arrived)
        process.requests.clear()
        for request in lost:
            request.lost = request.failed = True
            process.counters.requests += 1
            process.counters.lost += 1
        self._workers.killed(process)
        for request in lost:
            self._answered(request)
