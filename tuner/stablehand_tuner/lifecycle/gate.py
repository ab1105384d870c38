"""When not to act: what keeps the tuner from flapping, however noisy the app is.

Fast up, slow down: growth needs one window, fewer slots need a long time of low demand. `docs/tuner.md` lists the
numbers.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.lifecycle.phases import LowDemand
from stablehand_tuner.model import risk
from stablehand_tuner.model.compose import EVENT_LOOPS, compose, direction
from stablehand_tuner.model.compose import smaller as smaller_settings
from stablehand_tuner.model.objectives import AIMS
from stablehand_tuner.policy import Objective
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.lifecycle.phases import Watching
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.lifecycle.window import WarmUp
    from stablehand_tuner.model.proposal import Proposal
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy, Windows

DEAD_BAND = 0.2  # growth by less is no reason to act
LOW_MARK = 0.5  # fewer slots only below it: far from where growth begins, so that the two never alternate
STILL_FULL = 0.75  # once saturated, an app stays so down to this share of its cores, and of a process's core
# Another way to serve the same demand: neither growth nor less; the trial requires a gain.
MORE_PROCESSES = frozenset({Reason.MORE_PROCESSES, Reason.CROWDED_LOOP})
SIDEWAYS = frozenset({Reason.EVENT_LOOP, Reason.LOOP_BLOCKED, Reason.FEWER_SLOTS})
LONGEST_WAIT_SECONDS = 3600.0
EMERGENCY_REQUESTS = 20.0  # what even an emergency needs to see the CPU share
FULL_ENOUGH = 0.95  # of a window: scrapes are not exact to the millisecond


@dataclasses.dataclass(frozen=True)
class Situation:
    """What a proposal is judged by.

    Attributes:
        policy: what the user allows.
        state: the tuner's.
        watching: its phase.
        window: what the proposal was made from.
        current: what every pod runs.
        now: Unix seconds.
        is_emergency: whether connections queue up in the kernel.
        unseen: why too little can be observed to act; empty if that is not so.
    """

    policy: Policy
    state: TunerState
    watching: Watching
    window: Observation
    current: Settings
    now: float
    is_emergency: bool = False
    unseen: str = ""


@dataclasses.dataclass(frozen=True)
class GateDecision:
    """What becomes of a proposal: `settings` to change to, or None to hold; and the low demand so far."""

    settings: Settings | None
    reason: Reason
    message: str
    low_demand: LowDemand | None = None


def in_place(settings: Settings, current: Settings) -> bool:
    """Tell whether the processes that run can adopt the settings: no worker starts or ends, and nothing shrinks."""
    return (
        (settings.worker_class, settings.workers) == (current.worker_class, current.workers)
        and settings.threads >= current.threads
        and settings.worker_connections >= current.worker_connections
    )


def wait_after(windows: Windows, reversals: int) -> float:
    """Return the seconds to wait after a change: each reversal doubles them, up to an hour."""
    longest = max(LONGEST_WAIT_SECONDS, windows.cool_down_seconds)
    return float(min(windows.cool_down_seconds * 2.0 ** min(reversals, 30), longest))


def warming_up(windows: Windows, warm_up: WarmUp, now: float) -> str:
    """Return what is still missing before the first decision, or nothing once the app is warm."""
    elapsed = now - warm_up.since
    if elapsed >= windows.warm_up_seconds and warm_up.requests >= windows.warm_up_requests:
        return ""
    return (
        f"warming up: {min(elapsed, windows.warm_up_seconds):.0f} of {windows.warm_up_seconds:.0f} s, "
        f"{min(warm_up.requests, windows.warm_up_requests):.0f} of {windows.warm_up_requests:.0f} requests"
    )


def is_emergency(windows: Windows, latest: Observation) -> bool:
    """Tell whether connections queue up in the kernel: then the window need not be full."""
    return latest.backlog / latest.pods >= windows.backlog_alarm


def judge(situation: Situation, proposal: Proposal) -> GateDecision:  # noqa: PLR0911 (one return a rule reads best)
    """Apply the rules in turn to what the model proposes."""
    policy, current, window, now = situation.policy, situation.current, situation.window, situation.now
    history = situation.state.history
    towards = direction(proposal.settings, current)
    sideways = proposal.reason in SIDEWAYS
    if towards == 0 and not sideways:
        return GateDecision(None, proposal.reason, proposal.message)
    if situation.unseen:
        message = f"{situation.unseen}; missing pods count as busy, so nothing is changed"
        return GateDecision(None, Reason.DATA_MISSING, message)
    settings, held = proposal.settings, GateDecision(None, Reason.COOLING_DOWN, "")
    if sideways or towards > 0:
        stops = None if sideways else _no_growth(situation, proposal)
        if stops is not None:
            return stops
    else:
        gives_up = policy.objective is Objective.COST and settings.workers < current.workers
        held = _fewer_processes(situation, proposal) if gives_up else _less(situation, proposal)
        if held.settings is None:
            return held
        settings = held.settings
        proposal = dataclasses.replace(proposal, reason=held.reason, message=held.message)
    if (hindrance := _cannot_begin(situation, settings)) is not None:
        return dataclasses.replace(held, settings=None, reason=hindrance[0], message=hindrance[1])
    may_hurry = situation.is_emergency and history.reversals == 0
    if history.next_change_at is not None and now < history.next_change_at and not may_hurry:
        message = (
            f"{settings} would suit, but the last change was just made: {history.next_change_at - now:.0f} s to wait"
            + (f" after {history.reversals} reversals" if history.reversals else "")
        )
        return dataclasses.replace(held, settings=None, reason=Reason.COOLING_DOWN, message=message)
    if situation.is_emergency:
        queue = f"{window.backlog / window.pods:.0f} connections wait in the kernel; "
        return GateDecision(settings, Reason.BACKLOG, queue + proposal.message)
    return GateDecision(settings, proposal.reason, proposal.message)


def _cannot_begin(situation: Situation, settings: Settings) -> tuple[Reason, str] | None:
    """Return why exactly these settings cannot be changed to now, else None."""
    known, current, window, now = situation.state.known, situation.current, situation.window, situation.now
    if settings in known.refused:
        return Reason.REFUSED_BEFORE, f"{settings} would suit, but a server refused exactly that before"
    what = risk.tries(current, settings, known)
    waits = None if what is None else known.tries.waiting(what, cost=window.cpu_seconds_per_request, now=now)
    if waits is not None:
        message = f"{what} was tried {waits.times} times for nothing: {waits.until - now:.0f} s to wait"
        return Reason.TRIED_BEFORE, f"{settings} would suit, but {message}"
    if window.pods_full_of_retiring and not in_place(settings, current):
        return Reason.LONG_REQUESTS, (
            f"{settings} would suit, but processes of earlier changes still finish long requests, and no more of them "
            "are allowed: the server would not begin a change that needs processes"
        )
    return None


def _no_growth(situation: Situation, proposal: Proposal) -> GateDecision | None:
    current, window, standing = situation.current, situation.window, situation.watching.standing
    if proposal.reason in MORE_PROCESSES and proposal.settings.workers > current.workers:
        return None  # another process helps a full one at any number of slots
    was_saturated = standing is not None and standing.reason is Reason.SATURATED
    fullest = max(window.cores_used / window.cores, window.busiest_worker_cores)
    if was_saturated and fullest >= STILL_FULL:
        return GateDecision(
            None,
            Reason.SATURATED,
            f"{window.cores_used:.1f} of {window.cores:g} cores are in use, a little less than before: more "
            "concurrency would gain next to nothing",
        )
    demand = window.demand / window.pods
    if demand < AIMS[situation.policy.objective].low_mark * current.slots:
        return GateDecision(
            None,
            Reason.HALF_UNUSED,
            f"{demand:.1f} of {current.slots} slots are in use on average: no reason for more than {current}",
        )
    # an app that computes gains from processes, not from slots
    more = (1 + DEAD_BAND) * current.workers <= proposal.settings.workers and proposal.reason is Reason.COMPUTE_BOUND
    if proposal.settings.slots < (1 + DEAD_BAND) * current.slots and not more:
        return GateDecision(
            None,
            Reason.WELL_TUNED,
            f"{proposal.settings} would suit, which differs from {current} by less than {DEAD_BAND:.0%}",
        )
    return None


def _less(situation: Situation, proposal: Proposal) -> GateDecision:
    policy, current, window = situation.policy, situation.current, situation.window
    if proposal.reason is Reason.COMPUTE_BOUND and proposal.settings.worker_class is not current.worker_class:
        if window.cores_used >= LOW_MARK * window.cores:
            return GateDecision(proposal.settings, proposal.reason, proposal.message)
        return GateDecision(None, Reason.WELL_TUNED, f"the load is too light for {current} to do harm")
    # an event loop's unused connections cost nothing, and how many clients idle on them may change at any time
    if current.worker_class in EVENT_LOOPS or proposal.settings.slots > LOW_MARK * current.slots:
        return GateDecision(None, Reason.WELL_TUNED, f"{current} suits the demand, with room to spare")
    low = situation.watching.low_demand or LowDemand(situation.now, 0)
    slots = max(low.slots, proposal.settings.slots)
    smaller = smaller_settings(policy, current, slots)
    if direction(smaller, current) >= 0:
        return GateDecision(None, Reason.WELL_TUNED, f"{current} is as small as the bounds allow")
    seconds, low = situation.now - low.since, LowDemand(low.since, slots)
    if seconds < policy.windows.shrink_seconds:
        message = (
            f"{slots} slots would be enough instead of {current.slots}, so far for {seconds:.0f} of "
            f"{policy.windows.shrink_seconds:.0f} s"
        )
        return GateDecision(None, Reason.SHRINK_WAITING, message, low)
    message = (
        f"for {seconds:.0f} s demand called for {slots} slots at most, of {current.slots}: "
        f"{smaller} instead of {current}"
    )
    return GateDecision(smaller, Reason.LOW_DEMAND, message, low)


def _fewer_processes(situation: Situation, proposal: Proposal) -> GateDecision:
    """Allow fewer processes, if demand has called for fewer over a long time."""
    policy, current, window = situation.policy, situation.current, situation.window
    if window.waiting >= window.pods:
        return GateDecision(
            None, Reason.WELL_TUNED, f"requests wait for a slot of {current}: it has no process too many"
        )
    low = situation.watching.low_demand or LowDemand(situation.now, 0)
    workers = max(low.workers, proposal.settings.workers)
    slots = min(current.slots, max(low.slots, proposal.settings.slots))
    worker_class = current.worker_class
    if worker_class is WorkerClass.SYNC:
        worker_class = proposal.settings.worker_class
    slots_each = current.worker_connections if worker_class in EVENT_LOOPS else math.ceil(slots / workers)
    fewer = compose(policy, worker_class, workers, slots_each)
    if workers >= current.workers or not policy.allows(fewer):
        return GateDecision(
            None, Reason.WELL_TUNED, f"demand called for {current.workers} processes at times: {current} stays"
        )
    seconds, low = situation.now - low.since, LowDemand(low.since, slots, workers)
    if seconds < policy.windows.shrink_seconds:
        message = (
            f"{workers} processes would be enough instead of {current.workers}, so far for {seconds:.0f} of "
            f"{policy.windows.shrink_seconds:.0f} s"
        )
        return GateDecision(None, Reason.SHRINK_WAITING, message, low)
    message = f"for {seconds:.0f} s demand called for {workers} processes at most: {fewer} instead of {current}"
    return GateDecision(fewer, Reason.FEWER_PROCESSES, message, low)
