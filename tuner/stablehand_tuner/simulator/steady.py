"""What a pod does under a steady load, by formulas: the other half of the simulator, beside the discrete events.

A process is a closed queueing network: its requests wait (a delay), and compute one at a time (a queue). Between the
two ways in which requests can fall on processes, the truth is interpolated:

- all slots are full: each process has the same number of requests, the machine repairman's model, where the
  interpreter idles with the probability of Erlang's loss formula (as in `stablehand_tuner.gil`);
- few of many slots are full, and requests fall where they fall: mean value analysis in Schweitzer's approximation
  (P. Schweitzer 1979; Lazowska et al., "Quantitative System Performance", 1984, 7.4), which is a quadratic equation
  where all queues are alike.

Both depend on means only: processor sharing and delays are insensitive to the distributions (Baskett, Chandy, Muntz
and Palacios, JACM 22, 1975). Cores that are short slow everybody's computing down, until both sides agree on how much.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

from stablehand_tuner.gil import erlang_b
from stablehand_tuner.settings import Settings, WorkerClass
from stablehand_tuner.simulator import gamma
from stablehand_tuner.simulator.app import CONVOY, EVENTED, App
from stablehand_tuner.simulator.cores import PERIOD_SECONDS
from stablehand_tuner.simulator.interpreter import SWITCH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_tuner.simulator.app import Kind, Machine

_BISECTIONS = 14
_MANY = 200  # requests in a process, from which on the repairman's model is its limit for infinitely many
_FEW = 16  # processes, up to which their number at work is summed over and not taken at its mean
_FULL = 0.995  # of what a pod can serve: an open load beyond makes the queue grow
_UNEVEN = 0.6  # how much the queueing at an interpreter scatters where requests fall on processes at random
_CONVOY_ROUNDS = 6
_UNDISTURBED = 0.999  # of a core: nearer to 1 than anything that is measured
_SMALLEST_SHARE = 1e-6


@dataclasses.dataclass(frozen=True)
class Steady:
    """What one pod does; requests, seconds, and cores.

    `occupied` requests hold a slot, `inside` of them the app has begun, `queued` requests wait to be begun (those that
    hold a slot on an event loop among them). `errors` is a share of the requests.
    """

    throughput: float = 0.0
    occupied: float = 0.0
    inside: float = 0.0
    queued: float = 0.0
    cores_used: float = 0.0
    run_delay: float = 0.0
    throttled: float = 0.0
    lag: float = 0.0
    inside_deviation: float = 0.0
    response: float = 0.0
    response_deviation: float = 0.0
    errors: float = 0.0

    @property
    def inside_seconds(self) -> float:
        """Mean time inside the app."""
        return self.inside / self.throughput if self.throughput else 0.0

    @property
    def p99(self) -> float:
        """99th percentile of the time until the answer, seconds."""
        return gamma.quantile(self.response, self.response_deviation, 0.99)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a request does in one class: seconds that hold the interpreter while computing and while not, and others."""

    compute: float
    held: float
    unlocked: float
    wait: float
    compute_variance: float
    wait_variance: float

    @classmethod
    def of(cls, app: App, worker_class: WorkerClass, neighbours: float = 0.0) -> _Job:
        (compute, compute_variance), (wait, wait_variance) = _moments(app.compute, app.wait, app.jitter, app.kinds)
        unlocked, held = app.compute_unlocked, 0.0
        if worker_class is WorkerClass.GTHREAD:
            compute += app.thread_overhead * neighbours
        if worker_class in EVENTED:
            compute, unlocked = compute + unlocked, 0.0
            if app.blocks_event_loop:
                wait, held = 0.0, wait
        return cls(compute, held, unlocked, wait, compute_variance, wait_variance)


@functools.lru_cache(maxsize=256)
def _moments(
    compute: float, wait: float, jitter: float, kinds: tuple[Kind, ...]
) -> tuple[tuple[float, float], tuple[float, float]]:
    return App(compute, wait, jitter=jitter, kinds=kinds).moments()


@dataclasses.dataclass(frozen=True)
class _Flow:
    """Requests through the processes: how many per second, and how much of a core each that computes gets."""

    rate: float
    pace: float
    wait: float


def closed(
    app: App, settings: Settings, machine: Machine, clients: float, backend_connections: float = math.inf
) -> Steady:
    """Return what a pod does for clients that each send the next request when the last is answered.

    Args:
        app: what a request does.
        settings: what the pod runs.
        machine: what it may use.
        clients: requests in flight, for this pod.
        backend_connections: this pod's share of the connections to what requests wait for.
    """
    if clients <= 0:
        return Steady()
    occupied = min(clients, float(settings.slots))
    job = _Job.of(app, settings.worker_class)
    flow = _flow(job, settings, machine, occupied, job.wait)
    if app.thread_overhead and settings.worker_class is WorkerClass.GTHREAD:
        for _ in range(_CONVOY_ROUNDS):
            # how many others a request finds computing in its process, which makes it slower, so that it finds more
            there = flow.rate / settings.workers * max(0.0, occupied / flow.rate - job.wait - job.unlocked / flow.pace)
            others = there * max(0.0, 1 - 1 / max(1.0, occupied))
            job = _Job.of(app, settings.worker_class, min(CONVOY, others))
            flow = _flow(job, settings, machine, occupied, job.wait)
    connections_needed = flow.rate * (job.wait + job.held)
    if connections_needed > backend_connections:
        flow = _through_backend(job, settings, machine, occupied, backend_connections)
    return _describe(app, job, settings, machine, flow, occupied=occupied, clients=clients)


def opened(
    app: App,
    settings: Settings,
    machine: Machine,
    rate: float,
    *,
    backlog: float = 0.0,
    backend_connections: float = math.inf,
) -> Steady:
    """Return what a pod does for requests that come at random moments.

    Args:
        app: what a request does.
        settings: what the pod runs.
        machine: what it may use.
        rate: requests per second, for this pod.
        backlog: requests that wait already: while there are any, the pod does what it can.
        backend_connections: as for `closed`.
    """
    full = closed(app, settings, machine, settings.slots + backlog, backend_connections)
    if backlog >= 1 or rate >= _FULL * full.throughput:
        return full
    if rate <= 0:
        return Steady()
    job = _Job.of(app, settings.worker_class)
    pace = _settle(lambda pace: _pace(job, settings, machine, rate=rate, pace=pace))
    holding = job.compute / pace + job.held
    utilization = min(0.999, rate * holding / settings.workers)
    # an M/G/1 queue with processor sharing, in which no more requests than slots can share
    sharing = min(utilization / (1 - utilization), settings.slots_per_worker - 1.0)
    seconds = holding * (1 + sharing) + job.unlocked / pace + job.wait
    occupied = min(rate * seconds, settings.slots * _FULL)
    waits = _erlang_c(settings.slots, occupied)
    waiting = waits * occupied / (settings.slots - occupied)
    flow = _Flow(rate, pace, job.wait)
    steady = _describe(app, job, settings, machine, flow, occupied=occupied, clients=occupied + waiting)
    # so many requests wait, for a time that is exponential; and at the interpreter all is as random as it can be
    deviation = waiting / rate * math.sqrt(2 / waits - 1) if waits > _SMALLEST_SHARE else 0.0
    variance = steady.inside_deviation**2 + (holding * sharing) ** 2
    return dataclasses.replace(
        steady, inside_deviation=math.sqrt(variance), response_deviation=math.sqrt(variance + deviation**2)
    )


def _flow(job: _Job, settings: Settings, machine: Machine, occupied: float, wait: float) -> _Flow:
    def pace_at(pace: float) -> float:
        rate = _rate(job, settings, occupied, wait, pace)
        return _pace(job, settings, machine, rate=rate, pace=pace, occupied=occupied)

    pace = _settle(pace_at)
    return _Flow(_rate(job, settings, occupied, wait, pace), pace, wait)


def _through_backend(job: _Job, settings: Settings, machine: Machine, occupied: float, connections: float) -> _Flow:
    """Return the flow when requests stand in line for a connection: the wait is as long as lets them all through."""
    if not job.wait:  # an event loop that is blocked while it waits: fewer of them are at the backend than it carries
        return dataclasses.replace(
            _flow(job, settings, machine, occupied, 0.0), rate=connections / job.held if job.held else 0.0
        )
    shortest, longest = job.wait, job.wait + occupied * job.wait / connections
    for _ in range(_BISECTIONS):
        middle = (shortest + longest) / 2
        if _flow(job, settings, machine, occupied, middle).rate * job.wait > connections:
            shortest = middle
        else:
            longest = middle
    return _flow(job, settings, machine, occupied, longest)


def _settle(pace_at: Callable[[float], float]) -> float:
    """Return the pace at which the processes' demand for cores and what the cores give agree."""
    if pace_at(1.0) >= _UNDISTURBED:
        return 1.0
    lowest, highest = 0.001, 1.0
    for _ in range(_BISECTIONS):
        middle = (lowest + highest) / 2
        if pace_at(middle) >= middle:
            lowest = middle
        else:
            highest = middle
    return (lowest + highest) / 2


def _rate(job: _Job, settings: Settings, occupied: float, wait: float, pace: float) -> float:
    """Return the requests per second of a pod in which so many are in flight."""
    holding = job.compute / pace + job.held
    delay = wait + job.unlocked / pace
    processes, each = settings.workers, occupied / settings.workers
    if settings.slots_per_worker == 1 or each <= 0 or holding <= 0:
        return occupied / (holding + delay) if holding + delay else 0.0
    # R² + R (d - s - s (N - 1) ÷ P) - s d = 0, for the time R at the interpreter
    linear = delay - holding - holding * max(0.0, occupied - 1) / processes
    residence = (-linear + math.sqrt(linear**2 + 4 * holding * delay)) / 2
    scattered = occupied / (delay + residence)
    if occupied < 1:
        return scattered
    balanced = processes * _repairman(max(1.0, each), delay / holding) / holding * min(1.0, each)
    full = (occupied / settings.slots) ** 2
    return full * balanced + (1 - full) * scattered


def _repairman(requests: float, delay: float) -> float:
    """Return how busy an interpreter is among so many requests that are away for so many times their computing."""
    if requests > _MANY:
        return min(1.0, requests / (1 + delay))
    lower = math.floor(requests)
    busy = 1 - _erlang_b(lower, round(delay, 4))
    if requests > lower:
        busy += (requests - lower) * (_erlang_b(lower, round(delay, 4)) - _erlang_b(lower + 1, round(delay, 4)))
    return busy


_erlang_b = functools.lru_cache(maxsize=4096)(erlang_b)


def _erlang_c(servers: int, load: float) -> float:
    """Return the probability that a request has to wait for one of so many slots (Erlang's delay formula)."""
    if servers > _MANY and load < 0.8 * servers:  # nobody waits then
        return 0.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def _pace(
    job: _Job, settings: Settings, machine: Machine, *, rate: float, pace: float, occupied: float = math.inf
) -> float:
    """Return what each that computes gets of a core when requests flow at this rate and computing is so slow.

    `occupied` is how many requests there are in all: one of few finds fewer others.
    """
    processes, count = settings.workers, machine.whole_cores
    runnable = min(float(processes), rate * job.compute / pace) + rate * job.unlocked / pace
    # so many others can be runnable at most, and so many are on average
    others = min(processes - 1.0 + (occupied if job.unlocked else 0.0), max(0.0, occupied - 1))
    met = min(others, runnable * max(0.0, 1 - 1 / occupied) if math.isfinite(occupied) else runnable)
    if others + 1 <= count:
        share = 1.0
    elif others > _FEW:
        share = min(1.0, count / (1 + met))
    else:
        number = math.ceil(others)
        each = met / number
        share = sum(
            math.comb(number, k) * each**k * (1 - each) ** (number - k) * min(1.0, count / (1 + k))
            for k in range(number + 1)
        )
    return min(share, machine.cores / runnable) if machine.is_throttled and runnable else share


def _describe(
    app: App, job: _Job, settings: Settings, machine: Machine, flow: _Flow, *, occupied: float, clients: float
) -> Steady:
    rate, pace = flow.rate, flow.pace
    if rate <= 0:
        return Steady(occupied=occupied, inside=occupied, queued=clients - occupied)
    holding = job.compute / pace + job.held
    delay = flow.wait + job.unlocked / pace
    residence = max(holding, occupied / rate - delay)
    at_interpreter = rate * residence / settings.workers
    evented = settings.worker_class in EVENTED
    # an event loop begins a request at its first turn; with a wait in it, it has two
    before = (residence - holding) / (2 if job.wait else 1) if evented else 0.0
    inside = max(0.0, occupied - rate * before)
    queued = max(0.0, clients - inside)
    cores_used = rate * (job.compute + job.unlocked)
    stretch = (flow.wait / job.wait) ** 2 if job.wait else 1.0
    here = residence / (residence + delay)
    uneven = _UNEVEN * (1 - (occupied / settings.slots) ** 2) if settings.workers > 1 else 0.0
    uneven += min(1.0, math.sqrt((1 - here) / max(0.01, here * occupied / settings.workers)))
    queueing = uneven * (residence - holding)
    throttling = _throttling_variance(job, machine, pace)
    variance = job.wait_variance * stretch + job.compute_variance / pace**2 + queueing**2 + throttling
    waiting = max(0.0, clients - occupied)
    throttled = 0.0
    if machine.is_throttled and pace < 1:
        runnable = cores_used / pace
        running = min(1.0, machine.whole_cores / max(1.0, runnable))
        throttled = max(0.0, 1 - pace / running) * min(runnable, machine.whole_cores)
    turn = holding / (2 if job.wait else 1)
    return Steady(
        throughput=rate,
        occupied=occupied,
        inside=inside,
        queued=queued,
        cores_used=cores_used,
        run_delay=cores_used * (1 / pace - 1),
        throttled=throttled,
        lag=at_interpreter * (turn if evented else min(SWITCH_SECONDS, turn / 2)),
        inside_deviation=math.sqrt(variance),
        response=clients / rate,
        response_deviation=math.sqrt(variance + waiting / rate**2 / 2),
        errors=app.error_share.get(settings.worker_class, 0.0),
    )


def _throttling_variance(job: _Job, machine: Machine, pace: float) -> float:
    """Return the variance by the pauses of a throttled pod: whoever is met by one waits for the next period."""
    if not machine.is_throttled:
        return 0.0
    pause = PERIOD_SECONDS * (1 - pace)
    met = min(1.0, job.compute / pace / PERIOD_SECONDS)
    return pause**2 * met * (1 - met)
