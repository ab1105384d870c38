"""What one pod shows → the settings that suit it best, and why.

The model is Goetz's (Java Concurrency in Practice, 8.2): threads = cores × (1 + wait ÷ compute), with headroom on the
waiting part because requests do not come in lockstep. What demand shows bounds it from above. `docs/tuner.md` explains
it with measurements. Nothing here has memory or waits: the gate decides when not to act.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.model import ceilings, certainty, event_loop, pools, shapes
from stablehand_tuner.model.compose import EVENT_LOOPS, compose
from stablehand_tuner.model.known import Known
from stablehand_tuner.model.limits import below_ceiling, candidate_classes, process_bounds, within_memory
from stablehand_tuner.model.proposal import Proposal
from stablehand_tuner.model.shapes import Choice, demanded, slots_wanted
from stablehand_tuner.observe.load import Load
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.model.kinds import Kinds
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy

COMPUTING = 0.75  # from this CPU share on, a second request in the same process only waits for the first
COMPUTING_STAYS = 0.6  # down to this, one sync process for each core stays: CPU used by neighbours looks like waiting
COMPUTING_WHEN_FULL = 0.4  # the same while a process fills its core, where waiting for the GIL looks like waiting
CROWDED = 8.0  # requests in the app of one process: as many hide what each of them waits for
AT_ONCE = 2.0  # requests in a process, beyond which another process may serve them sooner
FREE_CORES = 0.5  # of them in use or waited for at most: more processes can use the others
COSTLY_SECONDS = 0.004  # of CPU, for a request
NOTHING_KNOWN = Known()
_SYNC = WorkerClass.SYNC


def propose(
    policy: Policy,
    observation: Observation,
    current: Settings,
    known: Known = NOTHING_KNOWN,
    *,
    now: float = 0.0,
    pods: float = 0.0,
) -> Proposal:
    """Return the settings that suit what was observed under the current ones.

    Args:
        policy: bounds, classes, and the objective.
        observation: what was observed, of one pod or of several alike.
        current: what they run.
        known: what is known about the app from before.
        now: Unix seconds: which ceilings may be tried again.
        pods: how many pods will run them, if that is more than were observed: they share what has a ceiling.

    Raises:
        ValueError: when the observation has no requests.
    """
    load = recalled(Load.of(observation, current), observation, current, known.kinds)
    candidates = candidate_classes(policy, observation, known.banned, current)
    if known.only_this_process and current.workers == 1:
        candidates = (current.worker_class,)  # another class would need another process
    choice = Choice(
        policy,
        observation,
        current,
        known,
        load,
        candidates,
        process_bounds(policy, observation, current, load.whole_cores, only_one=known.only_one_process),
        (*known.ceilings.limits(observation.cpu_seconds_per_request, now), *pools.limits(observation, current)),
        max(pods, observation.pods),
    )
    if (leaving := _leave_loop(choice)) is not None:
        return leaving
    proposal = _propose(choice)
    if proposal.reason is Reason.SATURATED and (fewer := _fewer_slots(choice)) is not None:
        return fewer
    if proposal.settings == current and (cheaper := _cheaper_loop(choice)) is not None:
        return cheaper
    if proposal.settings.slots <= current.slots and (crowded := _crowded_loop(choice)) is not None:
        return crowded
    low, high = certainty.shares(load)
    others = [
        _propose(dataclasses.replace(choice, load=dataclasses.replace(load, cpu_share=share))) for share in (low, high)
    ]
    return dataclasses.replace(
        proposal,
        evidence={**proposal.evidence, "cpu_share_low": round(low, 4), "cpu_share_high": round(high, 4)},
        alternative=certainty.alternative(proposal, others, current),
        needs=(
            *certainty.needs(observation, load, current, known.footprint),
            *certainty.cautions(observation, proposal.settings, current),
        ),
    )


def recalled(load: Load, observation: Observation, current: Settings, kinds: Kinds) -> Load:
    """Return the load with the CPU share that such requests had before, where a full process hides the present one."""
    cost = observation.cpu_seconds_per_request
    if not cost or not load.worker_full or current.slots_per_worker == 1:
        return load
    return dataclasses.replace(load, cpu_share=max(load.cpu_share, kinds.recall(cost) or 0.0))


def _propose(choice: Choice) -> Proposal:  # noqa: PLR0911 (one return a case reads best)
    load, current = choice.load, choice.current
    evidence = _evidence(choice)
    if _computes(load, current):
        settings = shapes.for_computing(choice)
        reason, why = Reason.COMPUTE_BOUND, f"{load.cpu_share:.0%} of a request is computing on {load.cores:g} cores"
        if load.worker_full and settings.slots > current.slots:
            reason, why = Reason.MORE_PROCESSES, f"{why} and a worker fills its core"
    elif load.pod_full or (load.worker_full and min(load.whole_cores, choice.processes.highest) <= current.workers):
        return Proposal(current, Reason.SATURATED, _saturated(load), evidence)
    elif load.worker_full:
        settings = shapes.more_processes(choice)
        reason = Reason.MORE_PROCESSES
        why = f"a worker fills its core, and {load.cores_used:.1f} of {load.cores:g} cores are in use"
    else:
        settings = shapes.for_waiting(choice)
        evidence["slots_wanted"] = slots_wanted(choice)
        reason = Reason.WAITING_DOMINATES
        why = (
            f"{1 - load.cpu_share:.0%} of a request is waiting and {load.demand:.0f} requests are in flight "
            f"or wait for a slot"
        )
    # requests that wait need slots, and processes only to hold them
    least = 1 if reason is Reason.WAITING_DOMINATES else None
    settings, stopped = _below_ceilings(choice, _fitting(choice, settings, least_workers=least))
    loop = shapes.event_loop(choice, settings) if reason is Reason.WAITING_DOMINATES else None
    if loop is not None and not _is_above_harm(choice, loop):
        message = f"{why}: {loop} may serve that with less than {current}, if the app can run on an event loop"
        return Proposal(loop, Reason.EVENT_LOOP, message, evidence)
    if settings.worker_class is not current.worker_class or (settings.slots, settings.workers) != (
        current.slots,
        current.workers,
    ):
        limited = "" if stopped is None else f"; {stopped.ceiling}"
        return Proposal(settings, reason, f"{why}: {settings} instead of {current}{limited}", evidence)
    if load.pod_full:
        return Proposal(current, Reason.SATURATED, _saturated(load), evidence)
    if stopped is not None:
        message = f"{why}, but {stopped.ceiling}: {current} stays"
        return Proposal(current, Reason.AT_CEILING, message, evidence)
    if reason is Reason.WAITING_DOMINATES and settings.slots < slots_wanted(choice):
        message = f"{why}, but the bounds, the allowed classes or the memory allow no more than {current}"
        return Proposal(current, Reason.AT_BOUND, message, evidence)
    return Proposal(current, Reason.WELL_TUNED, f"{why}: {current} suits that", evidence)


def _leave_loop(choice: Choice) -> Proposal | None:
    """Return what serves the app without an event loop where something blocks the one that runs, else None."""
    current, observation = choice.current, choice.observation
    blocked = event_loop.blocked(None, observation, current, early=False)
    others = tuple(each for each in choice.candidates if each is not current.worker_class)
    if blocked is None or not others:
        return None
    choice = dataclasses.replace(choice, candidates=others)
    shape, least = (shapes.for_computing, None) if _computes(choice.load, current) else (shapes.for_waiting, 1)
    settings, _ = _below_ceilings(choice, _fitting(choice, shape(choice), least_workers=least))
    evidence = {**_evidence(choice), "lag_seconds": round(observation.lag_seconds_mean, 4)}
    return Proposal(settings, Reason.LOOP_BLOCKED, f"{blocked}: {settings} instead of {current}", evidence)


def _fewer_slots(choice: Choice) -> Proposal | None:
    """Return a few threads a core in place of many slots that keep the cores full, or None where that is no question.

    As many requests in a full process hide how much each of them waits, and a trial of fewer slots shows it; once for
    each kind of request. Cheap requests do not queue for long enough to be worth it.
    """
    load, current = choice.load, choice.current
    cost = choice.observation.cpu_seconds_per_request
    crowded = load.in_app > CROWDED * current.workers
    if not cost or cost < COSTLY_SECONDS or not crowded or choice.known.kinds.recall(cost) is not None:
        return None
    settings = shapes.few_threads(choice)
    if settings is None or settings.slots >= current.slots:
        return None
    message = (
        f"{load.in_app:.0f} requests at once share {load.cores:g} full cores, {1000 * cost:.1f} ms of computing each: "
        f"{settings} instead of {current} may serve as many, sooner"
    )
    return Proposal(settings, Reason.FEWER_SLOTS, message, _evidence(choice))


def _cheaper_loop(choice: Choice) -> Proposal | None:
    """Return an event loop where busy cores may do the same for less, else None."""
    load, current = choice.load, choice.current
    wanted = shapes.cheaper_loop(choice)
    if wanted is None:
        return None
    settings = _fitting(choice, wanted)
    if settings.worker_class is not wanted.worker_class or _is_above_harm(choice, settings):
        return None  # the memory, or something that requests need, does not hold as many requests at once
    message = (
        f"{load.cores_used:.1f} of {load.cores:g} cores are in use, {load.cores_awaited:.1f} more are waited for, and "
        f"a request costs {1000 * load.cpu_seconds:.1f} ms, the server's own work and locks included: {settings} may "
        f"serve more of them than {current}"
    )
    return Proposal(settings, Reason.EVENT_LOOP, message, _evidence(choice))


def _crowded_loop(choice: Choice) -> Proposal | None:
    """Return more processes where each event loop has many requests at once and cores are free, else None.

    A loop accepts as many requests as come, so where an app began on one, no step of a climb has shown what they wait
    for: if that is a lock or a pool of their process, the throughput grows with the processes. For requests of which
    more slots served more once, it is known.
    """
    load, current, cost = choice.load, choice.current, choice.observation.cpu_seconds_per_request
    if current.worker_class not in EVENT_LOOPS or load.in_app <= AT_ONCE * current.workers:
        return None
    if load.cores_used + load.cores_awaited > FREE_CORES * load.cores:
        return None
    if not cost or choice.known.kinds.recall(cost) is not None:
        return None
    goal = compose(choice.policy, current.worker_class, choice.processes.highest, current.worker_connections)
    wanted, _ = _below_ceilings(choice, _fitting(choice, goal))
    if wanted.worker_class is not current.worker_class or wanted.workers <= current.workers:
        return None
    message = (
        f"{load.in_app / current.workers:.0f} requests at once in each process, and {load.cores_used:.1f} of "
        f"{load.cores:g} cores in use: if they wait for something of their process, {wanted} serves more of them"
    )
    return Proposal(wanted, Reason.CROWDED_LOOP, message, _evidence(choice))


def _fitting(choice: Choice, wanted: Settings, *, least_workers: int | None = None) -> Settings:
    """Return the wanted settings as far as memory holds them, by default with all their processes."""
    fitting = within_memory(
        choice.policy,
        choice.observation,
        choice.current,
        wanted=wanted,
        in_use=demanded(choice),
        footprint=choice.known.footprint,
        least_workers=least_workers or wanted.workers,
        class_of_few=WorkerClass.GTHREAD if WorkerClass.GTHREAD in choice.candidates else None,
    )
    fitting = below_ceiling(choice.policy, choice.current, fitting, choice.known.memory_ceiling)
    if fitting != choice.current or wanted.slots <= choice.current.slots or choice.current.worker_class is not _SYNC:
        return fitting
    # memory holds none of the slots that another class would have: processes without threads have one each
    return compose(choice.policy, _SYNC, choice.processes.clamp(wanted.slots), 1)


def _below_ceilings(choice: Choice, wanted: Settings) -> tuple[Settings, ceilings.Limit | None]:
    """Return the wanted settings as far as the ceilings allow them, and the one that allows no more, if one does."""
    return ceilings.within(
        choice.policy,
        choice.limits,
        wanted,
        current=choice.current,
        processes=choice.processes,
        pods=choice.pods,
        candidates=choice.candidates,
    )


def _is_above_harm(choice: Choice, settings: Settings) -> bool:
    """Tell whether more slots than now would exceed a ceiling of harm."""
    pods = choice.pods
    return any(
        limit.ceiling.is_harm
        and limit.ceiling.level.slots(settings, pods)
        > max(limit.slots, limit.ceiling.level.slots(choice.current, pods))
        for limit in choice.limits
    )


def _computes(load: Load, current: Settings) -> bool:
    if current.worker_class is WorkerClass.SYNC and current.workers == load.whole_cores:
        return load.cpu_share >= COMPUTING_STAYS
    return load.cpu_share >= COMPUTING or (load.worker_full and load.cpu_share >= COMPUTING_WHEN_FULL)


def _saturated(load: Load) -> str:
    return (
        f"{load.cores_used:.1f} of {load.cores:g} cores are in use and {load.demand:.0f} requests are in flight or "
        "wait for a slot: more concurrency would only add waiting; more replicas or a higher CPU limit would help"
    )


def _evidence(choice: Choice) -> dict[str, float]:
    observation, load = choice.observation, choice.load
    return {
        "requests_per_second": round(observation.requests_per_second, 3),
        "mean_seconds": round(observation.mean_seconds or 0.0, 6),
        "cpu_seconds_per_request": round(observation.cpu_seconds_per_request or 0.0, 6),
        "cpu_share": round(load.cpu_share, 4),
        "in_app": round(load.in_app, 2),
        "waiting": round(load.waiting, 2),
        "peak_demand": round(load.peak_demand, 2),
        "cores": round(load.cores, 3),
        "cores_used": round(load.cores_used, 3),
        "cores_awaited": round(load.cores_awaited, 3),
        "busiest_worker_cores": round(observation.busiest_worker_cores, 3),
    }
