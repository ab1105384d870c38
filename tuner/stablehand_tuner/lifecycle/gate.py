"""When not to act: what keeps the tuner from flapping, however noisy the app is.

Fast up, slow down: growth needs one window, fewer slots need a long time of low demand. Every number is one that a
system in the field runs with; `docs/tuner.md` names it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model.compose import EVENT_LOOPS, compose, direction
from stablehand_tuner.model.compose import smaller as smaller_settings
from stablehand_tuner.model.objectives import AIMS
from stablehand_tuner.policy import Objective
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.model.proposal import Proposal
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy, Windows

DEAD_BAND = 0.2  # growth by less is no reason to act
LOW_MARK = 0.5  # fewer slots only below it: far from where growth begins, so that the two never chase each other
STILL_FULL = 0.75  # once saturated, an app counts as such down to this share of its cores, and of a process's core
# Another way to serve the same demand: neither growth nor less, and on trial for what it promises.
SIDEWAYS = frozenset({Reason.EVENT_LOOP, Reason.LOOP_BLOCKED, Reason.FEWER_SLOTS})
LONGEST_WAIT_SECONDS = 3600.0
EMERGENCY_REQUESTS = 20.0  # what even an emergency needs to see the CPU share
FULL_ENOUGH = 0.95  # of a window: scrapes do not come to the millisecond


@dataclasses.dataclass(frozen=True)
class GateDecision:
    """What becomes of a proposal: `settings` to change to, or None to hold; and the low demand seen so far."""

    settings: Settings | None
    reason: Reason
    message: str
    shrink_since: float | None = None
    shrink_slots: int = 0
    shrink_workers: int = 0


def in_place(settings: Settings, current: Settings) -> bool:
    """Tell whether the processes that run can take the settings up: no worker comes or goes, and nothing shrinks."""
    return (
        (settings.worker_class, settings.workers) == (current.worker_class, current.workers)
        and settings.threads >= current.threads
        and settings.worker_connections >= current.worker_connections
    )


def wait_after(windows: Windows, reversals: int) -> float:
    """Return the seconds to wait after a change: each reversal doubles them, up to an hour."""
    longest = max(LONGEST_WAIT_SECONDS, windows.cool_down_seconds)
    return float(min(windows.cool_down_seconds * 2.0 ** min(reversals, 30), longest))


def warming_up(windows: Windows, state: TunerState, now: float) -> str:
    """Return what is still missing before the first decision, or nothing once the app is warm."""
    elapsed = now - (now if state.warm_since is None else state.warm_since)
    if elapsed >= windows.warm_up_seconds and state.warm_requests >= windows.warm_up_requests:
        return ""
    return (
        f"warming up: {min(elapsed, windows.warm_up_seconds):.0f} of {windows.warm_up_seconds:.0f} s, "
        f"{min(state.warm_requests, windows.warm_up_requests):.0f} of {windows.warm_up_requests:.0f} requests"
    )


def is_emergency(windows: Windows, tick: Observation) -> bool:
    """Tell whether connections pile up in the kernel: then the window need not be full."""
    return tick.backlog / tick.pods >= windows.backlog_alarm


def judge(  # noqa: PLR0911 (one return a rule reads best)
    policy: Policy,
    state: TunerState,
    proposal: Proposal,
    window: Observation,
    now: float,
    *,
    current: Settings,
    emergency: bool,
    unseen: str = "",
) -> GateDecision:
    """Apply the rules in turn to what the model proposes; `unseen` says what is missing, if too much is."""
    towards = direction(proposal.settings, current)
    sideways = proposal.reason in SIDEWAYS
    if towards == 0 and not sideways:
        return GateDecision(None, proposal.reason, proposal.message)
    if unseen:
        return GateDecision(None, Reason.DATA_MISSING, f"{unseen}; missing pods count as busy, so nothing is changed")
    settings, held = proposal.settings, GateDecision(None, Reason.COOLING_DOWN, "")
    if sideways or towards > 0:
        stops = None if sideways else _no_growth(policy, state, proposal, window, current)
        if stops is not None:
            return stops
    else:
        gives_up = policy.objective is Objective.COST and settings.workers < current.workers
        rule = _fewer_processes if gives_up else _less
        held = rule(policy, state, proposal, window, now, current=current)
        if held.settings is None:
            return held
        settings = held.settings
        proposal = dataclasses.replace(proposal, reason=held.reason, message=held.message)
    if settings in state.refused:
        return GateDecision(
            None, Reason.REFUSED_BEFORE, f"{settings} would suit, but a server refused exactly that before"
        )
    if window.pods_full_of_retiring and not in_place(settings, current):
        message = (
            f"{settings} would suit, but as many processes as may be still finish long requests after earlier changes: "
            "the server would begin no other change that needs processes"
        )
        return dataclasses.replace(held, settings=None, reason=Reason.LONG_REQUESTS, message=message)
    if state.next_change_at is not None and now < state.next_change_at and not (emergency and state.reversals == 0):
        message = (
            f"{settings} would suit, but the last change was just made: {state.next_change_at - now:.0f} s to wait"
            + (f" after {state.reversals} reversals" if state.reversals else "")
        )
        return dataclasses.replace(held, settings=None, reason=Reason.COOLING_DOWN, message=message)
    if emergency:
        queue = f"{window.backlog / window.pods:.0f} connections wait in the kernel; "
        return GateDecision(settings, Reason.BACKLOG, queue + proposal.message)
    return GateDecision(settings, proposal.reason, proposal.message)


def _no_growth(
    policy: Policy, state: TunerState, proposal: Proposal, window: Observation, current: Settings
) -> GateDecision | None:
    if proposal.reason is Reason.MORE_PROCESSES and proposal.settings.workers > current.workers:
        return None  # a full process gains from another at any number of slots
    was_saturated = state.verdict is not None and state.verdict.reason is Reason.SATURATED
    fullest = max(window.cores_used / window.cores, window.busiest_worker_cores)
    if was_saturated and fullest >= STILL_FULL:
        return GateDecision(
            None,
            Reason.SATURATED,
            f"{window.cores_used:.1f} of {window.cores:g} cores are in use, a little less than before: more "
            "concurrency would gain next to nothing",
        )
    demand = window.demand / window.pods
    if demand < AIMS[policy.objective].low_mark * current.slots:
        return GateDecision(
            None,
            Reason.HALF_UNUSED,
            f"{demand:.1f} of {current.slots} slots are in use on average: no reason for more than {current}",
        )
    # what computes gains by processes, not by slots
    more = (1 + DEAD_BAND) * current.workers <= proposal.settings.workers and proposal.reason is Reason.COMPUTE_BOUND
    if proposal.settings.slots < (1 + DEAD_BAND) * current.slots and not more:
        return GateDecision(
            None,
            Reason.WELL_TUNED,
            f"{proposal.settings} would suit, which differs from {current} by less than {DEAD_BAND:.0%}",
        )
    return None


def _less(
    policy: Policy,
    state: TunerState,
    proposal: Proposal,
    window: Observation,
    now: float,
    *,
    current: Settings,
) -> GateDecision:
    if proposal.reason is Reason.COMPUTE_BOUND and proposal.settings.worker_class is not current.worker_class:
        if window.cores_used >= LOW_MARK * window.cores:
            return GateDecision(proposal.settings, proposal.reason, proposal.message)
        return GateDecision(None, Reason.WELL_TUNED, f"the load is too light for {current} to do harm")
    # an event loop's unused connections cost nothing, and how many clients idle on them may change at any time
    if current.worker_class in EVENT_LOOPS or proposal.settings.slots > LOW_MARK * current.slots:
        return GateDecision(None, Reason.WELL_TUNED, f"{current} suits the demand, with room to spare")
    since = now if state.shrink_since is None else state.shrink_since
    slots = max(state.shrink_slots, proposal.settings.slots)
    smaller = smaller_settings(policy, current, slots)
    if direction(smaller, current) >= 0:
        return GateDecision(None, Reason.WELL_TUNED, f"{current} is as small as the bounds allow")
    if now - since < policy.windows.shrink_seconds:
        message = (
            f"{slots} slots would do instead of {current.slots}, and that for {now - since:.0f} of "
            f"{policy.windows.shrink_seconds:.0f} s"
        )
        return GateDecision(None, Reason.SHRINK_WAITING, message, since, slots)
    message = (
        f"for {now - since:.0f} s demand called for {slots} slots at most, of {current.slots}: "
        f"{smaller} instead of {current}"
    )
    return GateDecision(smaller, Reason.LOW_DEMAND, message, since, slots)


def _fewer_processes(
    policy: Policy,
    state: TunerState,
    proposal: Proposal,
    window: Observation,
    now: float,
    *,
    current: Settings,
) -> GateDecision:
    """Give processes up, when the most that were called for over a long time were fewer."""
    if window.waiting >= window.pods:
        return GateDecision(
            None, Reason.WELL_TUNED, f"requests wait for a slot of {current}: it has no process too many"
        )
    since = now if state.shrink_since is None else state.shrink_since
    workers = max(state.shrink_workers, proposal.settings.workers)
    slots = min(current.slots, max(state.shrink_slots, proposal.settings.slots))
    worker_class = current.worker_class
    if worker_class is WorkerClass.SYNC:
        worker_class = proposal.settings.worker_class
    each = current.worker_connections if worker_class in EVENT_LOOPS else math.ceil(slots / workers)
    fewer = compose(policy, worker_class, workers, each)
    if workers >= current.workers or not policy.allows(fewer):
        return GateDecision(
            None, Reason.WELL_TUNED, f"demand called for {current.workers} processes at times: {current} stays"
        )
    if now - since < policy.windows.shrink_seconds:
        message = (
            f"{workers} processes would do instead of {current.workers}, and that for {now - since:.0f} of "
            f"{policy.windows.shrink_seconds:.0f} s"
        )
        return GateDecision(None, Reason.SHRINK_WAITING, message, since, slots, workers)
    message = f"for {now - since:.0f} s demand called for {workers} processes at most: {fewer} instead of {current}"
    return GateDecision(fewer, Reason.FEWER_PROCESSES, message, since, slots, workers)
