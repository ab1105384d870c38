"""Between changes: observe until a window is full, ask the model, and begin what stability and policy let through."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import applying, canary, gate
from stablehand_tuner.lifecycle.state import EMPTY_WINDOW, TunerState
from stablehand_tuner.model import limits, memory
from stablehand_tuner.model import propose as model
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.load import Load
from stablehand_tuner.policy import TUNABLE_CLASSES, Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.ending import Transition
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy, Windows

SURE_REQUESTS = 5.0  # times the least of a window: then the tuner acts on the point estimate, though it is not sure
QUIET_WINDOWS = 20  # so many windows with too few requests, and what they saw is too old to judge by
BLIND_WINDOWS = 4  # so many windows in which pods are missing whenever a decision is due, and the same holds
TOLERATED_GAPS = 0.1  # of a window's scrapes: counters are cumulative, so the next scrape tells what the gap hid


@dataclasses.dataclass(frozen=True)
class _Round:
    """What all functions of one step share."""

    policy: Policy
    observations: Mapping[str, Observation | None]
    now: float
    canaries: bool

    @property
    def missing(self) -> int:
        """How many pods cannot be seen now."""
        return sum(each is None for each in self.observations.values())


def watch(
    policy: Policy, state: TunerState, observations: Mapping[str, Observation | None], now: float, *, canaries: bool
) -> Transition:
    """Take one step while no change is under way."""
    this = _Round(policy, observations, now, canaries)
    present = [each for each in observations.values() if each is not None]
    if not present:
        if not observations:
            return state, _hold(Reason.NO_PODS, "the app has no pods to observe")
        state = dataclasses.replace(state, window_missing=state.window_missing + this.missing)
        message = f"no usable scrape of {this.missing} pods; missing data counts as busy, so nothing is changed"
        return state, _hold(Reason.DATA_MISSING, message)
    tick = aggregation.combine(present)
    state = dataclasses.replace(
        state,
        warm_since=now if state.warm_since is None else state.warm_since,
        warm_requests=state.warm_requests + tick.requests,
    )
    state, differs = _agree(state, tick)
    current = state.settings
    if differs is not None or current is None:
        return state, differs or _hold(Reason.SETTINGS_DIFFER, "the pods do not yet say what they run")
    state = dataclasses.replace(state, footprint=state.footprint.add(tick, current))
    if tick.oom_exits:
        state = state.with_ceiling(current.slots)
    at_once = _at_once(policy, state, tick, now, current=current)
    if at_once is None:
        return _collect(this, state, tick, current=current)
    return _act(this, state, at_once, baseline=None)


def _collect(this: _Round, state: TunerState, tick: Observation, *, current: Settings) -> Transition:
    """Add the scrape to the window, and decide when that is full."""
    window = state.window
    if tick.steady:
        window = tick if window is None else aggregation.merge(window, tick)
    state = dataclasses.replace(
        state,
        window=window,
        window_missing=state.window_missing + this.missing,
        window_scrapes=state.window_scrapes + len(this.observations),
    )
    if window is None:
        return state, _hold(Reason.COLLECTING, "the servers just changed their settings: collecting anew")
    return _decide(this, state, tick, window, current=current)


def _agree(state: TunerState, tick: Observation) -> tuple[TunerState, Decision | None]:
    """Settle what the app runs; where the pods differ among themselves or from what they should run, wait."""
    active = tick.settings_active
    anew = dataclasses.replace(state, verdict=None, shrink_since=None, **EMPTY_WINDOW)
    if active is None or tick.settings_desired != active:
        wanted = tick.settings_desired or state.settings
        message = "not every server runs the settings that it should" + (f": {wanted}" if wanted else "")
        return anew, _hold(Reason.SETTINGS_DIFFER, message)
    if state.settings is None:
        return dataclasses.replace(state, settings=active), None
    if active != state.settings:
        message = f"somebody set {active} instead of {state.settings}: the tuner watches anew"
        return dataclasses.replace(anew, settings=active), _hold(Reason.SETTINGS_CHANGED_OUTSIDE, message)
    return state, None


def _at_once(policy: Policy, state: TunerState, tick: Observation, now: float, *, current: Settings) -> Decision | None:
    """Return what needs no window: a hold before there can be one, broken bounds, or memory that is exceeded."""
    if (why := _not_tuned(policy, tick, current)) is not None:
        return _hold(Reason.CLASS_NOT_TUNED, why)
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    decision = None
    if not policy.allows(current):
        settings = limits.move_inside(policy, tick, current)
        message = f"{current} breaks the bounds or the classes of the policy: {settings} instead"
        decision = Decision(action, Reason.OUT_OF_BOUNDS, message, settings)
    elif (relief := memory.relieve_memory(policy, tick, current)) is not None:
        decision = Decision(action, relief.reason, relief.message, relief.settings, relief.evidence)
    if decision is not None:
        if decision.settings in state.refused:
            return _hold(Reason.REFUSED_BEFORE, f"{decision.message}, but a server refused exactly that before")
        return decision
    cold = gate.warming_up(policy.windows, state, now)
    return _hold(Reason.WARMING_UP, cold) if cold else None


def _not_tuned(policy: Policy, tick: Observation, current: Settings) -> str | None:
    """Return why the class that runs is none for the tuner, if so."""
    if current.worker_class not in TUNABLE_CLASSES:
        known = ", ".join(each.value for each in TUNABLE_CLASSES)
        return f"the app runs {current}; the tuner tunes {known}"
    if current.worker_class is not WorkerClass.ASGI:
        return None
    if WorkerClass.ASGI not in policy.worker_classes:
        return f"the app runs {current}, which no other class may be able to serve, and the policy does not allow asgi"
    # a WSGI app behind a bridge: it has a slot for each thread, not for each connection
    if tick.slots < 0.5 * current.slots * tick.pods and tick.workers_ready >= current.workers * tick.pods:
        return (
            f"the app runs {current} with {tick.slots:.0f} slots: a WSGI app behind a bridge; gthread serves it better"
        )
    return None


def _decide(
    this: _Round, state: TunerState, tick: Observation, window: Observation, *, current: Settings
) -> Transition:
    windows = this.policy.windows
    full = window.seconds >= gate.FULL_ENOUGH * windows.decision_seconds
    emergency = gate.is_emergency(windows, tick)
    too_little = _too_little(windows, state, window, full=full, emergency=emergency)
    if too_little is not None:
        return too_little
    proposal = model.propose(this.policy, window, current, state.known)
    state = dataclasses.replace(state, kinds=state.kinds.learn(window, Load.of(window, current), current))
    if proposal.doubt and not emergency and window.requests < SURE_REQUESTS * windows.minimum_requests:
        message = (
            f"between {proposal.settings} and {proposal.doubt}: {window.requests:.0f} requests are too few to tell, "
            f"{SURE_REQUESTS * windows.minimum_requests:.0f} decide"
        )
        decision = Decision(
            Action.HOLD, Reason.TOO_FEW_REQUESTS, message, None, proposal.evidence, None, proposal.needs
        )
        return dataclasses.replace(state, verdict=decision), decision
    judged = gate.judge(
        this.policy,
        state,
        proposal,
        window,
        this.now,
        current=current,
        emergency=emergency,
        unseen=_unseen(this, state),
    )
    if judged.settings is not None:
        action = Action.APPLY if this.policy.mode is Mode.AUTO else Action.RECOMMEND
        decision = Decision(
            action, judged.reason, judged.message, judged.settings, proposal.evidence, None, proposal.needs
        )
        return _act(this, state, decision, baseline=window, emergency=emergency)
    if not full:  # an emergency that calls for nothing: let the window fill
        return state, state.verdict or _hold(judged.reason, judged.message)
    decision = Decision(Action.HOLD, judged.reason, judged.message, None, proposal.evidence, None, proposal.needs)
    state = dataclasses.replace(
        state,
        verdict=decision,
        shrink_since=judged.shrink_since,
        shrink_slots=judged.shrink_slots,
        shrink_workers=judged.shrink_workers,
    )
    if judged.reason is not Reason.DATA_MISSING or window.seconds >= BLIND_WINDOWS * windows.decision_seconds:
        state = dataclasses.replace(state, **EMPTY_WINDOW)
    return state, decision


def _too_little(
    windows: Windows, state: TunerState, window: Observation, *, full: bool, emergency: bool
) -> Transition | None:
    """Hold where the window has too little time or too few requests in it to ask the model."""
    if not full and not (emergency and window.requests >= gate.EMERGENCY_REQUESTS):
        collecting = f"observing: {window.seconds:.0f} of {windows.decision_seconds:.0f} s"
        return state, state.verdict or _hold(Reason.COLLECTING, collecting)
    if not emergency and window.requests < windows.minimum_requests:
        decision = _hold(
            Reason.TOO_FEW_REQUESTS,
            f"{window.requests:.0f} requests in {window.seconds:.0f} s are too few to judge by; "
            f"{windows.minimum_requests:.0f} are needed",
        )
        if window.seconds >= QUIET_WINDOWS * windows.decision_seconds:
            state = dataclasses.replace(state, **EMPTY_WINDOW)
        return dataclasses.replace(state, verdict=decision), decision
    if not window.requests:
        return state, _hold(Reason.TOO_FEW_REQUESTS, "connections wait, but no request was finished to judge by")
    return None


def _unseen(this: _Round, state: TunerState) -> str:
    """Return why too much is missing to act, or nothing.

    A gap that is over is no loss, for counters are cumulative; but who is missing now may be busy, and gaps that keep
    coming back hide what the gauges would have shown.
    """
    if this.missing:
        return f"{this.missing} of {len(this.observations)} pods cannot be scraped now"
    if state.window_missing > max(1.0, TOLERATED_GAPS * state.window_scrapes):
        return f"{state.window_missing} of {state.window_scrapes} scrapes failed in this window"
    return ""


def _act(
    this: _Round, state: TunerState, decision: Decision, *, baseline: Observation | None, emergency: bool = False
) -> Transition:
    if decision.action is Action.HOLD:
        return state, decision
    if this.policy.mode is not Mode.AUTO:
        return dataclasses.replace(state, verdict=decision, **EMPTY_WINDOW), decision
    recent = applying.recent(state, this.now)
    if baseline is not None and len(recent) >= this.policy.changes_per_hour:
        wait = recent[-this.policy.changes_per_hour] + applying.HOUR - this.now
        spent = f"{len(recent)} changes began within the last hour: {wait:.0f} s to wait"
        message = f"{decision.settings} would suit, but {spent}"
        held = Decision(Action.HOLD, Reason.BUDGET_SPENT, message, evidence=decision.evidence)
        return dataclasses.replace(state, verdict=held, **EMPTY_WINDOW), held
    pod = _canary(this, state, decision, emergency=emergency) if baseline is not None else None
    return applying.begin(state, decision, this.now, baseline=baseline, pod=pod)


def _canary(this: _Round, state: TunerState, decision: Decision, *, emergency: bool) -> str | None:
    """Return the pod that tries the change first, or None where all have to run it at once.

    An emergency does not wait for a canary, unless the worker class changes: to err on every pod is worse than to wait.
    """
    if not this.canaries or decision.settings is None or state.settings is None:
        return None
    if emergency and decision.settings.worker_class is state.settings.worker_class:
        return None
    return canary.choose(this.observations)


def _hold(reason: Reason, message: str) -> Decision:
    return Decision(Action.HOLD, reason, message)
