"""The shapes that settings take: how many processes, which class, how many slots in each."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model.compose import EVENT_LOOPS, compose
from stablehand_tuner.model.objectives import AIMS, Aim

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Range
    from stablehand_tuner.model.ceilings import Limit
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.observe.load import Load
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

HEADROOM_OF_WAITING = 2.0  # measured: one window at 8 threads gives 97 % of the best with it, 64 % without
MOST_THREADS = 64  # beyond, an event loop serves the same with less
STAYS_EVENTED = 16  # an app on an event loop returns to threads only below this many slots per process
CROWDED_THREADS = 24  # from this many threads in a process on, an event loop may serve the same with less
MOSTLY_WAITING = 0.2  # the CPU share up to which it may
BUSY_CORES = 0.75  # share of the cores in use from which on cheaper requests mean more requests
QUEUE_PER_CORE = 4.0  # requests in flight or waiting, so that a core never waits for the next one
CHEAP_SECONDS = 0.002  # of CPU: most of a request this cheap is the server's own work, cheaper on an event loop
MOSTLY_CHILDREN = 0.5  # share of the CPU from which on it is children that compute
OVERLAPPING_CHILDREN = 2  # processes for each core then
FEW_THREADS = 4  # enough to keep a core full if requests compute for a quarter of their time


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the settings are chosen by.

    Attributes:
        policy: bounds, classes, and the objective.
        observation: what was observed, of one pod or of several alike.
        current: what they run.
        known: what is known about the app from before.
        load: that of the observation, or, to see how certain a choice is, a slightly different one.
        candidates: the classes that may run.
        processes: how many there may be in a pod.
        limits: the ceilings that count now.
        pods: how many pods share what has a ceiling of all.
    """

    policy: Policy
    observation: Observation
    current: Settings
    known: Known
    load: Load
    candidates: tuple[WorkerClass, ...]
    processes: Range
    limits: tuple[Limit, ...] = ()
    pods: float = 1.0

    @property
    def aim(self) -> Aim:
        """The numbers of the policy's objective."""
        return AIMS[self.policy.objective]


def slots_wanted(choice: Choice) -> int:
    """Return the slots that a pod can use: cores × (1 + h × (1 ÷ share - 1)), bounded by demand.

    The bound is the demand's peak with headroom, and at least the demand plus its square root (the safety staffing of
    queueing theory): a light load never opens many slots onto a database.
    """
    load = choice.load
    useful = load.cores * (1 + HEADROOM_OF_WAITING * (1 / load.cpu_share - 1))
    return max(1, math.ceil(min(useful, demanded(choice))))


def demanded(choice: Choice) -> float:
    """Return the slots that demand calls for, whether requests wait or compute."""
    load = choice.load
    staffed = load.demand + math.sqrt(load.demand)
    return max(choice.aim.headroom_of_demand * max(load.demand, load.peak_demand), staffed)


def for_computing(choice: Choice) -> Settings:
    """Return one process for each core, as far as demand calls for them, without threads.

    Where one process computes on several cores at once (a free-threaded build), its threads take the processes' place.
    Where the work is done by child processes, there are more than cores: each waits while its child starts and ends.
    Measured with a child that computes for 18 ms, on two cores: four to six sync workers serve 1.0 to 1.1 times what
    two do, so the step there has to show a gain, as any.
    """
    load = choice.load
    cores = load.whole_cores if load.cores_per_request > 1 else max(1, math.ceil(load.cores - 0.01))
    if load.children_share >= MOSTLY_CHILDREN:
        cores *= OVERLAPPING_CHILDREN
    parallel = min(cores, math.ceil(demanded(choice)))
    if choice.aim.least_processes == 1 and not load.worker_full:
        parallel = min(parallel, max(1, math.ceil(load.cores_used / choice.aim.busy_process)))
    if load.cores_per_process > 1 and WorkerClass.GTHREAD in choice.candidates:
        workers = choice.processes.clamp(load.whole_cores)
        return compose(choice.policy, WorkerClass.GTHREAD, workers, math.ceil(parallel / workers))
    if choice.aim.least_processes > 1 and not load.pod_full:
        # a free process takes a request at once, and the cores are shared; idle processes cost only memory
        parallel = max(parallel, min(choice.current.workers, math.ceil(demanded(choice))))
    workers = choice.processes.clamp(parallel)
    order: tuple[WorkerClass, ...] = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI)
    if choice.current.worker_class in EVENT_LOOPS and load.cpu_seconds <= CHEAP_SECONDS:
        order = (choice.current.worker_class, *order)  # it was chosen for that, or does no harm
    worker_class = next((each for each in order if each in choice.candidates), choice.current.worker_class)
    if worker_class is choice.current.worker_class and load.worker_full:
        slots_each = (
            choice.current.slots_per_worker
        )  # connections that wait for a full process do not call for more slots
        return compose(choice.policy, worker_class, workers, slots_each if worker_class in EVENT_LOOPS else 1)
    return _with_connections(choice, worker_class, workers, 1)


def few_threads(choice: Choice) -> Settings | None:
    """Return one process for each core with a few threads: enough to keep it full unless requests mostly wait."""
    workers = choice.processes.clamp(choice.load.whole_cores)
    if WorkerClass.GTHREAD in choice.candidates:
        return compose(choice.policy, WorkerClass.GTHREAD, workers, FEW_THREADS)
    if WorkerClass.SYNC in choice.candidates:
        return compose(choice.policy, WorkerClass.SYNC, choice.processes.clamp(workers * FEW_THREADS), 1)
    return None


def more_processes(choice: Choice) -> Settings:
    """Spread the slots over more processes, in the class that runs if it may stay."""
    workers = choice.processes.clamp(max(choice.load.whole_cores, choice.current.workers))
    slots_each = math.ceil(max(slots_wanted(choice), choice.current.slots) / workers)
    if choice.current.worker_class in choice.candidates:
        return _with_connections(choice, choice.current.worker_class, workers, slots_each)
    return _class_for(choice, workers, slots_each)


def for_waiting(choice: Choice) -> Settings:
    """Return the slots that requests can use while others wait, as far as demand calls for them, in few processes."""
    load, wanted, aim = choice.load, slots_wanted(choice), choice.aim
    if (
        load.cpu_share > aim.threads_up_to
        and WorkerClass.SYNC in choice.candidates
        and wanted <= choice.processes.highest
    ):
        return compose(choice.policy, WorkerClass.SYNC, choice.processes.clamp(wanted), 1)
    # the cores that all slots use together, spread so that no process comes near the one core that it can use
    needed = math.ceil(min(load.cores, wanted * load.cpu_share) / (aim.busy_process * load.cores_per_process))
    threaded = choice.current.worker_class not in EVENT_LOOPS and wanted <= needed * MOST_THREADS
    if not threaded or load.demand * load.cpu_share < load.cores:
        needed = min(needed, load.whole_cores)
    # Otherwise there are enough requests to fill the cores, and more processes than cores keep them full: a request
    # that waits for the lock of one process does not delay another process. Measured on an app that waits and computes,
    # with 57 threads on 2 cores: three processes serve a seventh more requests than two.
    workers = choice.processes.clamp(min(wanted, max(needed, min(aim.least_processes, load.whole_cores))))
    return _class_for(choice, workers, math.ceil(wanted / workers))


def event_loop(choice: Choice, wanted: Settings) -> Settings | None:
    """Return an event loop in place of many threads that mostly wait, or None where there is no case for one.

    Only for an app that has about as many threads as it can use: to find their number comes first, and threads serve
    any app. Whether the loop serves it better, a canary or a trial has to show.
    """
    current, load = choice.current, choice.load
    if current.worker_class is not WorkerClass.GTHREAD or WorkerClass.GEVENT not in choice.candidates:
        return None
    settled = wanted.worker_class is WorkerClass.GTHREAD and 0.5 * current.slots <= wanted.slots <= 1.2 * current.slots
    crowded = load.in_app >= 0.5 * current.slots and current.threads >= CROWDED_THREADS
    if not settled or not crowded or load.cpu_share > MOSTLY_WAITING:
        return None
    return _with_connections(choice, WorkerClass.GEVENT, current.workers, current.threads)


def cheaper_loop(choice: Choice) -> Settings | None:
    """Return an event loop for requests that keep the cores busy, and that it may serve for less; None for others.

    Either the requests are little more than the server's own work: measured with 64 clients, an event loop serves a
    sixth to a half more of the smallest requests than sync does, and an eighth more than threads of those that also
    wait for 10 ms. Or they run in threads that mostly wait, and also wait for each other's lock: an event loop serves a
    tenth more of requests that compute for 2.4 ms and wait for 35 ms on average. Then most of the demand has to be in
    the app already, because full cores are no reason to admit more. Cores that the workers wait for count as busy:
    where neighbours use some of them, cheaper requests mean more requests as well.
    """
    load, current = choice.load, choice.current
    if current.worker_class in EVENT_LOOPS or WorkerClass.GEVENT not in choice.candidates:
        return None
    busy = load.cores_used + load.cores_awaited >= BUSY_CORES * load.cores
    if not busy or load.demand < QUEUE_PER_CORE * load.cores:
        return None
    inside = load.in_app >= 0.5 * load.demand
    locked = current.worker_class is WorkerClass.GTHREAD and inside and load.cpu_share <= MOSTLY_WAITING
    if load.cpu_seconds > CHEAP_SECONDS and not locked:
        return None
    workers = choice.processes.clamp(load.whole_cores)
    return _with_connections(choice, WorkerClass.GEVENT, workers, math.ceil(demanded(choice) / workers))


def _class_for(choice: Choice, workers: int, slots_each: int) -> Settings:
    """Choose the class for a number of processes with some slots in each."""
    policy, candidates = choice.policy, choice.candidates
    slots = workers * slots_each
    if WorkerClass.ASGI in candidates:
        return _with_connections(choice, WorkerClass.ASGI, workers, slots_each)
    if slots_each <= 1 and WorkerClass.SYNC in candidates:
        return compose(policy, WorkerClass.SYNC, workers, 1)
    most_threads = min(MOST_THREADS, policy.threads.highest)
    evented = slots_each > (STAYS_EVENTED if choice.current.worker_class is WorkerClass.GEVENT else most_threads)
    if WorkerClass.GEVENT in candidates and (evented or WorkerClass.GTHREAD not in candidates):
        return _with_connections(choice, WorkerClass.GEVENT, workers, slots_each)
    if WorkerClass.GTHREAD in candidates:
        workers = choice.processes.clamp(max(workers, math.ceil(slots / policy.threads.highest)))
        return compose(policy, WorkerClass.GTHREAD, workers, math.ceil(slots / workers))
    if WorkerClass.SYNC in candidates:
        return compose(policy, WorkerClass.SYNC, choice.processes.clamp(slots), 1)
    return choice.current


def _with_connections(choice: Choice, worker_class: WorkerClass, workers: int, slots_each: int) -> Settings:
    """Compose settings that, on an event loop, have room for idle connections."""
    if worker_class in EVENT_LOOPS:
        # a connection counts also while it idles between two requests
        slots_each = max(slots_each, math.ceil(1.25 * choice.load.connections / workers))
        if worker_class is WorkerClass.ASGI:
            slots_each = max(slots_each, choice.current.worker_connections)  # unused ones cost nothing
    return compose(choice.policy, worker_class, workers, slots_each)
