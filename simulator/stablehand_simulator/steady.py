"""What a pod does under a steady load, by formulas: the other half of the simulator, beside the discrete events.

`flow` computes the throughput; this module computes where requests wait, and how much times vary.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_simulator import gamma
from stablehand_simulator.app import CONVOY, EVENTED
from stablehand_simulator.cores import PERIOD_SECONDS
from stablehand_simulator.flow import Flow, Job, flow_of, flow_through_backend, flow_with_refusals, pace_of, settle
from stablehand_simulator.interpreter import SWITCH_SECONDS
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.gil import erlang_b

if TYPE_CHECKING:
    from stablehand_simulator.app import App, Machine

_FULL = 0.995  # of what a pod can serve: with a higher open load the queue grows
_UNEVEN = 0.6  # how much the queueing at an interpreter varies where requests reach processes at random
_CONVOY_ROUNDS = 6
_MANY_SLOTS = 200  # from this number on, with a fifth of them free, requests do not wait for a slot
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
    job = Job.of(app, settings.worker_class)
    flow = flow_of(job, settings, machine, occupied, job.wait)
    if app.thread_overhead and settings.worker_class is WorkerClass.GTHREAD:
        for _ in range(_CONVOY_ROUNDS):
            # how many others compute in a request's process: they slow it down, which raises their number again
            there = flow.rate / settings.workers * max(0.0, occupied / flow.rate - job.wait - job.unlocked / flow.pace)
            others = there * max(0.0, 1 - 1 / max(1.0, occupied))
            job = Job.of(app, settings.worker_class, min(CONVOY, others))
            flow = flow_of(job, settings, machine, occupied, job.wait)
    connections_needed = flow.rate * (job.wait + job.held)
    if occupied > app.pod_connections and job.wait:
        flow, refused = flow_with_refusals(
            job,
            settings,
            machine,
            occupied=occupied,
            connections=int(app.pod_connections),
            refused_seconds=app.refused_seconds,
        )
        steady = _describe(app, job, settings, machine, flow, occupied=occupied, clients=clients)
        return _with_refused(steady, refused)
    backend_connections = min(backend_connections, settings.workers * app.process_connections)
    if connections_needed > backend_connections:
        flow = flow_through_backend(job, settings, machine, occupied, backend_connections)
    return _describe(app, job, settings, machine, flow, occupied=occupied, clients=clients)


def _with_refused(steady: Steady, refused: float) -> Steady:
    return dataclasses.replace(steady, errors=1 - (1 - steady.errors) * (1 - refused))


def opened(
    app: App,
    settings: Settings,
    machine: Machine,
    rate: float,
    *,
    backlog: float = 0.0,
    backend_connections: float = math.inf,
) -> Steady:
    """Return what a pod does for requests at random moments.

    Args:
        app: what a request does.
        settings: what the pod runs.
        machine: what it may use.
        rate: requests per second, for this pod.
        backlog: requests that wait already: while there are any, the pod serves as many as it can.
        backend_connections: as in `closed`.
    """
    full = closed(app, settings, machine, settings.slots + backlog, backend_connections)
    if backlog >= 1 or rate >= _FULL * full.throughput:
        return full
    if rate <= 0:
        return Steady()
    job = Job.of(app, settings.worker_class)
    pace = settle(lambda pace: pace_of(job, settings, machine, rate=rate, pace=pace, most=settings.slots))
    holding = job.compute / pace + job.held
    utilization = min(0.999, rate * holding / settings.workers)
    # an M/G/1 queue with processor sharing among no more requests than there are slots
    sharing = min(utilization / (1 - utilization), settings.slots_per_worker - 1.0)
    seconds = holding * (1 + sharing) + job.unlocked / pace + job.wait
    occupied = min(rate * seconds, settings.slots * _FULL)
    waits = _erlang_c(settings.slots, occupied)
    waiting = waits * occupied / (settings.slots - occupied)
    flow = Flow(rate, pace, job.wait)
    steady = _describe(app, job, settings, machine, flow, occupied=occupied, clients=occupied + waiting)
    # a share of the requests waits, for an exponential time; at the interpreter the variance is the highest possible
    deviation = waiting / rate * math.sqrt(2 / waits - 1) if waits > _SMALLEST_SHARE else 0.0
    variance = steady.inside_deviation**2 + (holding * sharing) ** 2
    steady = dataclasses.replace(
        steady, inside_deviation=math.sqrt(variance), response_deviation=math.sqrt(variance + deviation**2)
    )
    if settings.slots <= app.pod_connections:
        return steady
    # a loss system: what finds all connections in use fails
    return _with_refused(steady, erlang_b(int(app.pod_connections), rate * job.wait))


def _erlang_c(servers: int, load: float) -> float:
    """Return the probability that a request has to wait for a slot (Erlang's delay formula)."""
    if servers > _MANY_SLOTS and load < 0.8 * servers:
        return 0.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def _describe(
    app: App, job: Job, settings: Settings, machine: Machine, flow: Flow, *, occupied: float, clients: float
) -> Steady:
    rate, pace = flow.rate, flow.pace
    if rate <= 0:
        return Steady(occupied=occupied, inside=occupied, queued=clients - occupied)
    holding = job.compute / pace + job.held
    delay = flow.wait + job.unlocked / pace
    residence = max(holding, occupied / rate - delay)
    at_interpreter = rate * residence / settings.workers
    evented = settings.worker_class in EVENTED
    # an event loop begins a request at its first turn; a request that waits has two turns
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


def _throttling_variance(job: Job, machine: Machine, pace: float) -> float:
    """Return the variance due to throttling: a request that is interrupted waits for the next period."""
    if not machine.is_throttled:
        return 0.0
    pause = PERIOD_SECONDS * (1 - pace)
    met = min(1.0, job.compute / pace / PERIOD_SECONDS)
    return pause**2 * met * (1 - met)
