"""How many requests per second flow through a pod's processes for a number of requests in flight.

A process is a closed queueing network: its requests wait (a delay), and compute one at a time (a queue). The result is
interpolated between two ways in which requests can be distributed to processes:

- all slots are full: each process has the same number of requests, the machine repairman model, in which the
  interpreter is idle with the probability of Erlang's loss formula (as in `stablehand_tuner.observe.gil`);
- few of many slots are full, and requests reach processes at random: mean value analysis in Schweitzer's approximation
  (P. Schweitzer 1979; Lazowska et al., "Quantitative System Performance", 1984, 7.4), which is a quadratic equation
  where all queues are alike.

Both depend on means only: processor sharing and delays are insensitive to the distributions (Baskett, Chandy, Muntz and
Palacios, JACM 22, 1975). A lack of cores slows all computing down; the pace is the one at which demand and supply are
equal.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

from stablehand_simulator.app import EVENTED, App
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.gil import erlang_b

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_simulator.app import Kind, Machine

_BISECTIONS = 14
_MANY = 200  # requests in a process, above which the limit of the repairman model for infinitely many is used
_FEW = 16  # processes, up to which the sum over the number that compute is used instead of its mean
_UNDISTURBED = 0.999  # of a core: from here on the pace counts as 1


@dataclasses.dataclass(frozen=True)
class Job:
    """What a request does in one class, in seconds: computing, holding the interpreter, without its lock, waiting."""

    compute: float
    held: float
    unlocked: float
    wait: float
    compute_variance: float
    wait_variance: float

    @classmethod
    def of(cls, app: App, worker_class: WorkerClass, neighbours: float = 0.0) -> Job:
        """Return what a request of the app does under a class, beside some others that compute in its process."""
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
class Flow:
    """Requests through the processes: how many per second, and how much of a core each gets while it computes."""

    rate: float
    pace: float
    wait: float


def flow_of(job: Job, settings: Settings, machine: Machine, occupied: float, wait: float) -> Flow:
    """Return the flow for a number of requests that hold slots, and a wait of each."""

    def pace_at(pace: float) -> float:
        rate = _rate(job, settings, occupied, wait, pace)
        return pace_of(job, settings, machine, rate=rate, pace=pace, most=occupied, population=occupied)

    pace = settle(pace_at)
    return Flow(_rate(job, settings, occupied, wait, pace), pace, wait)


def flow_through_backend(job: Job, settings: Settings, machine: Machine, occupied: float, connections: float) -> Flow:
    """Return the flow when requests queue for a connection: with the wait at which the connections are just enough."""
    if not job.wait:  # an event loop that is blocked while it waits: fewer of them are at the backend than it carries
        return dataclasses.replace(
            flow_of(job, settings, machine, occupied, 0.0), rate=connections / job.held if job.held else 0.0
        )
    shortest, longest = job.wait, job.wait + occupied * job.wait / connections
    for _ in range(_BISECTIONS):
        middle = (shortest + longest) / 2
        if flow_of(job, settings, machine, occupied, middle).rate * job.wait > connections:
            shortest = middle
        else:
            longest = middle
    return flow_of(job, settings, machine, occupied, longest)


def flow_with_refusals(
    job: Job, settings: Settings, machine: Machine, *, occupied: float, connections: int, refused_seconds: float
) -> tuple[Flow, float]:
    """Return the flow when requests that find no free connection fail, and the share of those.

    A finite number of requests that ask for connections again and again: Engset's loss system, in which a connection is
    asked for after the time that a request takes without it, and again later where it was refused.
    """

    def flow_at(refused: float) -> Flow:
        wait = (1 - refused) * job.wait + refused * refused_seconds
        return dataclasses.replace(flow_of(job, settings, machine, occupied, wait), wait=wait)

    lowest, highest = 0.0, 1.0
    for _ in range(_BISECTIONS):
        refused = (lowest + highest) / 2
        flow = flow_at(refused)
        pause = (occupied / flow.rate - (1 - refused) * job.wait) / (1 - refused)
        if _engset(connections, occupied, job.wait / pause) > refused:
            lowest = refused
        else:
            highest = refused
    refused = (lowest + highest) / 2
    return flow_at(refused), refused


def _engset(servers: int, sources: float, load: float) -> float:
    """Return the share of attempts that find all servers busy; `load` is the service time in times of the pause."""
    blocked = 1.0
    for server in range(1, servers + 1):
        arriving = load * max(0.0, sources - server) * blocked
        blocked = arriving / (server + arriving) if arriving else 0.0
    return blocked


def settle(pace_at: Callable[[float], float]) -> float:
    """Return the pace at which the processes' demand for cores equals what the cores provide."""
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


def _rate(job: Job, settings: Settings, occupied: float, wait: float, pace: float) -> float:
    """Return the requests per second of a pod for a number of requests in flight."""
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
    """Return how busy an interpreter is with a number of requests that wait for a multiple of their computing."""
    if requests > _MANY:
        return min(1.0, requests / (1 + delay))
    lower = math.floor(requests)
    busy = 1 - _erlang_b(lower, round(delay, 4))
    if requests > lower:
        busy += (requests - lower) * (_erlang_b(lower, round(delay, 4)) - _erlang_b(lower + 1, round(delay, 4)))
    return busy


_erlang_b = functools.lru_cache(maxsize=4096)(erlang_b)


def pace_of(
    job: Job,
    settings: Settings,
    machine: Machine,
    *,
    rate: float,
    pace: float,
    most: float,
    population: float = math.inf,
) -> float:
    """Return how much of a core each computing request gets, for a rate of requests and an assumed pace.

    `most` is how many requests can be in slots at once. `population` is how many there are in total, where that is
    constant: then a request finds fewer others than there are on average.
    """
    processes, count = settings.workers, machine.whole_cores
    runnable = min(float(processes), rate * job.compute / pace) + rate * job.unlocked / pace
    # how many others can be runnable at most, and how many are on average
    others = min(processes - 1.0 + (most if job.unlocked else 0.0), max(0.0, most - 1))
    met = min(others, runnable * max(0.0, 1 - 1 / population))
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
