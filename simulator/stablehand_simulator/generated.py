"""Random workloads, the same for the same seed: what the tuner's properties are tested on."""

from __future__ import annotations

import dataclasses
import math
import random

from stablehand_simulator import grid, steady
from stablehand_simulator.app import App, Kind, Machine
from stablehand_simulator.workload import LoadPhase, Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.policy import Policy

PHASE_SECONDS = 180.0
"""Seconds between two changes of an app that changes."""

CHANGING_SECONDS = 900.0
"""How long a workload whose app changes runs, in seconds."""

_MEBIBYTE = 2.0**20


def workload(seed: int) -> Workload:
    """Return the workload of a seed: a random app on a random machine under a random steady load."""
    chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
    app = _app(chance)
    cores = chance.choice((0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 4.0, 8.0))
    policy = _policy(chance)
    start = _start(chance, cores, policy, app)
    pods = chance.choice((1, 1, 2, 3, 4))
    machine = Machine(
        cores=cores,
        node_cores=chance.choice((None, None, max(8, math.ceil(cores)))),
        memory_limit=_memory_limit(chance, app, start),
        boot_seconds=_between(chance, 0.3, 8.0),
        blocking_modules=frozenset({"grpc"}) if _happens(chance, 0.1) else frozenset(),
    )
    made = Workload(
        app=app,
        start=start,
        machine=machine,
        pods=pods,
        clients=max(1, round(pods * _between(chance, 1, 300))),
        backend_connections=round(pods * _between(chance, 2, 60)) if _happens(chance, 0.15) else math.inf,
        policy=policy,
        load_noise=chance.choice((0.0, 0.0, 0.1, 0.2)),
        seed=seed,
    )
    if not _fits(made, start):  # the pods have at least the memory that their start needs with all slots in use
        made = dataclasses.replace(made, machine=dataclasses.replace(machine, memory_limit=None))
    if _happens(chance, 0.35):
        made = dataclasses.replace(made, clients=0, rate=chance.uniform(0.05, 0.85) * _capacity(made))
    return made


def hazardous(seed: int) -> Workload:
    """Return the workload of a seed whose app has one or two hazards that no counter shows before they do harm.

    They are a limit of what requests wait for (a lock or a pool of each process, or a database's connections, beyond
    which requests fail), classes that fail, rare requests that take a hundred times as long, and memory for each
    request in flight.
    """
    chance = random.Random(f"hazards {seed}")  # noqa: S311 (a simulation, not a secret)
    made = workload(seed)
    app = dataclasses.replace(made.app, error_share={}, wait=made.app.wait or _between(chance, 0.01, 0.2))
    for hazard in chance.sample(
        (_lock, _pool, _database, _failing_classes, _rare_and_slow, _heavy), chance.choice((1, 1, 2))
    ):
        app = hazard(chance, app)
    made = dataclasses.replace(made, app=app, backend_connections=math.inf)
    starts = [each for each in (made.start, *_SAFE_STARTS) if _is_harmless(made, each)]
    if not starts:  # the policy allows nothing else
        made = dataclasses.replace(made, app=dataclasses.replace(app, error_share={}, pod_connections=math.inf))
    start = starts[0] if starts else made.start
    # More processes are the answer to some hazards: without a known limit of memory there is at most one for each core.
    memory = made.machine.memory_limit or 2.0**30
    while not _fits(made := _with_memory(made, memory), start):
        memory *= 2
    clients = max(1, round(made.pods * _between(chance, 4, 200)))
    return dataclasses.replace(made, start=start, clients=clients, rate=0.0)


def changing(seed: int) -> Workload:
    """Return the workload of a seed whose app changes every three minutes: computing, waiting, or both."""
    chance = random.Random(seed)  # noqa: S311 (a simulation, not a secret)
    made = workload(seed)
    apps = (
        dataclasses.replace(made.app, compute=_between(chance, 0.005, 0.05), wait=0.0),
        dataclasses.replace(made.app, compute=_between(chance, 0.0005, 0.002), wait=_between(chance, 0.03, 0.5)),
        dataclasses.replace(made.app, compute=_between(chance, 0.002, 0.01), wait=_between(chance, 0.01, 0.1)),
    )
    phases = [LoadPhase(at, app=chance.choice(apps)) for at in _every(PHASE_SECONDS, CHANGING_SECONDS)]
    clients = max(1, round(made.pods * _between(chance, 4, 100)))
    return dataclasses.replace(made, app=chance.choice(apps), clients=clients, rate=0.0, phases=tuple(phases))


def _with_memory(made: Workload, limit: float) -> Workload:
    return dataclasses.replace(made, machine=dataclasses.replace(made.machine, memory_limit=limit))


_SAFE_STARTS = (
    Settings(WorkerClass.SYNC, 1),
    Settings(WorkerClass.GTHREAD, 1, 1),
    Settings(WorkerClass.GEVENT, 1, 1, 10),
)


def _is_harmless(made: Workload, start: Settings) -> bool:
    if not made.policy.allows(start) or start.worker_class in made.app.error_share:
        return False
    return start.slots <= made.app.pod_connections


def _lock(chance: random.Random, app: App) -> App:
    return dataclasses.replace(app, process_connections=1, pod_connections=math.inf, wait=_between(chance, 0.005, 0.1))


def _pool(chance: random.Random, app: App) -> App:
    return dataclasses.replace(app, process_connections=round(_between(chance, 2, 30)), pod_connections=math.inf)


def _database(chance: random.Random, app: App) -> App:
    connections, refused = round(_between(chance, 4, 100)), _between(chance, 0.001, 0.03)
    return dataclasses.replace(app, pod_connections=connections, process_connections=math.inf, refused_seconds=refused)


def _failing_classes(chance: random.Random, app: App) -> App:
    failing = chance.choice(((WorkerClass.GEVENT,), (WorkerClass.GTHREAD,), (WorkerClass.GTHREAD, WorkerClass.GEVENT)))
    share = chance.choice((0.01, 0.2, 1.0))
    return dataclasses.replace(app, error_share=dict.fromkeys(failing, share))


def _rare_and_slow(chance: random.Random, app: App) -> App:
    slow = Kind(_between(chance, 0.005, 0.05), app.compute, 100 * app.wait)
    return dataclasses.replace(app, kinds=(slow,))


def _heavy(chance: random.Random, app: App) -> App:
    return dataclasses.replace(app, request_bytes=_between(chance, 2, 30) * _MEBIBYTE)


def _every(seconds: float, until: float) -> list[float]:
    return [seconds * number for number in range(1, math.ceil(until / seconds))]


def _between(chance: random.Random, lowest: float, highest: float) -> float:
    """Return a log-uniform number: 1 to 2 is as likely as 100 to 200."""
    return math.exp(chance.uniform(math.log(lowest), math.log(highest)))


def _happens(chance: random.Random, probability: float) -> bool:
    return chance.random() < probability


def _app(chance: random.Random) -> App:
    compute, wait = _between(chance, 0.0003, 0.1), 0.0
    if _happens(chance, 0.6):
        wait = _between(chance, 0.002, 2.0)
    errors: dict[WorkerClass, float] = {}
    if _happens(chance, 0.08):
        errors[chance.choice((WorkerClass.GTHREAD, WorkerClass.GEVENT))] = chance.choice((0.03, 0.3, 1.0))
    return App(
        compute=compute,
        wait=wait,
        jitter=chance.choice((0.05, 0.2, 0.5, 1.0)),
        thread_overhead=chance.choice((0.0, 0.0, 0.0001, 0.0005)),
        blocks_event_loop=bool(wait) and _happens(chance, 0.15),
        error_share=errors,
        process_bytes=_between(chance, 25, 300) * _MEBIBYTE,
        request_bytes=chance.choice((0.0, 0.0, _between(chance, 0.05, 8) * _MEBIBYTE)),
        compute_unlocked=_between(chance, 0.001, 0.05) if _happens(chance, 0.1) else 0.0,
    )


def _start(chance: random.Random, cores: float, policy: Policy, app: App) -> Settings:
    """Return settings that the policy allows, and under which the app does not fail."""
    whole = math.ceil(cores)
    starts = (
        Settings(WorkerClass.SYNC, 1),
        Settings(WorkerClass.SYNC, whole),
        Settings(WorkerClass.SYNC, 2 * whole + 1),
        Settings(WorkerClass.GTHREAD, 1, 4),
        Settings(WorkerClass.GTHREAD, 2, 8),
        Settings(WorkerClass.GTHREAD, 2 * whole + 1, 4),
        Settings(WorkerClass.GEVENT, whole, 1, 1000),
    )
    allowed = [each for each in starts if policy.allows(each) and each.worker_class not in app.error_share]
    if allowed:
        return chance.choice(allowed)
    return Settings(policy.worker_classes[0], 1)


def _memory_limit(chance: random.Random, app: App, start: Settings) -> float | None:
    """Return no limit, or one for at least the pod's initial workers and the additional one of a switch."""
    if _happens(chance, 0.2):
        return None
    least = (start.workers + 1) * app.process_bytes + min(start.slots, 64) * app.request_bytes
    return max(256 * _MEBIBYTE, least * _between(chance, 1.3, 8.0))


def _policy(chance: random.Random) -> Policy:
    fields: dict[str, object] = {}
    if _happens(chance, 0.3):
        fields["workers"] = {"max": chance.choice((2, 4, 8, 16))}
    if _happens(chance, 0.15):
        fields["threads"] = {"max": chance.choice((4, 16, 32))}
    if _happens(chance, 0.2):
        fields["workerClasses"] = chance.choice((["sync"], ["sync", "gthread"], ["gthread", "gevent"], ["gthread"]))
        if fields["workerClasses"] == ["sync"]:
            fields.pop("threads", None)
    return Policy.from_mapping(fields)


def _fits(made: Workload, settings: Settings) -> bool:
    """Tell whether the settings fit into the memory while all of their slots are in use."""
    full = dataclasses.replace(made, clients=settings.slots * made.pods, rate=0.0)
    return grid.fits(full, grid.performance(full, settings))


def _capacity(made: Workload) -> float:
    """Return the most requests per second that any settings of the grid serve, if they fit into the memory."""
    most = 0.0
    for settings in grid.candidates(made):
        full = steady.closed(made.app, settings, made.machine, settings.slots, made.backend_connections / made.pods)
        if _fits(made, settings):
            most = max(most, full.throughput * (1 - full.errors) * made.pods)
    return most or 1.0
