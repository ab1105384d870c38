"""Between changes: observe until a window is full, ask the model, and begin what stability and policy let through."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import beginning, gate, sharing
from stablehand_tuner.lifecycle.history import HOUR
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.lifecycle.window import WarmUp, Window
from stablehand_tuner.model import limits, memory, suitable
from stablehand_tuner.model import propose as model
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.load import Load
from stablehand_tuner.policy import TUNABLE_CLASSES, Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.ending import Transition
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.policy import Policy, Windows

SURE_REQUESTS = 5.0  # times the least of a window: then the tuner acts on the point estimate, though it is not sure
QUIET_WINDOWS = 20  # after so many windows with too few requests, the observations are too old to judge by
BLIND_WINDOWS = 4  # the same after so many windows with pods missing whenever a decision is due
TOLERATED_GAPS = 0.1  # of a window's scrapes: counters are cumulative, so the next scrape covers the gap


def watch(inputs: Inputs, state: TunerState, watching: Watching) -> Transition:
    """Take one step while no change is under way."""
    present, missing = inputs.present, inputs.missing
    if not present:
        if not inputs.observations:
            return state, _hold(Reason.NO_PODS, "the app has no pods to observe")
        message = f"no usable scrape of {missing} pods; missing data counts as busy, so nothing is changed"
        window = watching.window.add(None, missing=missing, scrapes=0)
        return _in(state, dataclasses.replace(watching, window=window)), _hold(Reason.DATA_MISSING, message)
    latest = aggregation.combine(present)
    warm_up = WarmUp(inputs.now) if state.warm_up is None else state.warm_up
    warm_up = dataclasses.replace(warm_up, requests=warm_up.requests + latest.requests)
    state = dataclasses.replace(state, warm_up=warm_up)
    watching, differs = _agree(watching, latest)
    current = watching.settings
    if differs is not None or current is None:
        return _in(state, watching), differs or _hold(Reason.SETTINGS_DIFFER, "no pod reports what it runs yet")
    known = dataclasses.replace(state.known, footprint=state.known.footprint.add(latest, current))
    state = dataclasses.replace(state, known=known.with_ceiling(current.slots) if latest.oom_exits else known)
    at_once = _at_once(inputs, state, warm_up, latest, current)
    if at_once is None:
        return _collect(inputs, state, watching, latest, current)
    return _act(inputs, _in(state, watching), at_once, current=current, baseline=None)


def _collect(
    inputs: Inputs, state: TunerState, watching: Watching, latest: Observation, current: Settings
) -> Transition:
    """Add the scrapes to the window, and decide when that is full."""
    steady = latest if latest.steady else None
    window = watching.window.add(steady, missing=inputs.missing, scrapes=len(inputs.observations))
    watching = dataclasses.replace(watching, window=window)
    state = _in(state, watching)
    observed = window.observed
    if observed is None:
        return state, _hold(Reason.COLLECTING, "the servers just changed their settings: observing again")
    is_emergency = gate.is_emergency(inputs.policy.windows, latest)
    too_little = _too_little(inputs.policy.windows, state, watching, observed, is_emergency=is_emergency)
    if too_little is not None:
        return too_little
    situation = gate.Situation(
        policy=inputs.policy,
        state=state,
        watching=watching,
        window=observed,
        current=current,
        now=inputs.now,
        is_emergency=is_emergency,
        unseen=_unseen(inputs, window),
    )
    return _decide(inputs, situation)


def _agree(watching: Watching, latest: Observation) -> tuple[Watching, Decision | None]:
    """Settle what the app runs; where the pods differ among themselves or from what they should run, wait."""
    active = latest.settings_active
    if active is None or latest.settings_desired != active:
        wanted = latest.settings_desired or watching.settings
        message = "not every server runs the settings that it should" + (f": {wanted}" if wanted else "")
        return Watching(watching.settings), _hold(Reason.SETTINGS_DIFFER, message)
    if watching.settings is None:
        return dataclasses.replace(watching, settings=active), None
    if active != watching.settings:
        message = f"{active} was set from outside instead of {watching.settings}: observing again"
        return Watching(active), _hold(Reason.SETTINGS_CHANGED_OUTSIDE, message)
    return watching, None


def _at_once(
    inputs: Inputs, state: TunerState, warm_up: WarmUp, latest: Observation, current: Settings
) -> Decision | None:
    """Return what needs no window: a hold before there can be one, broken bounds, or memory that is exceeded."""
    policy = inputs.policy
    if (why := _not_tuned(policy, latest, current)) is not None:
        return _hold(Reason.CLASS_NOT_TUNED, why)
    action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
    decision = None
    if not policy.allows(current):
        settings = limits.move_inside(policy, latest, current)
        message = f"{current} breaks the bounds or the classes of the policy: {settings} instead"
        decision = Decision(action, Reason.OUT_OF_BOUNDS, message, settings)
    elif latest.available_classes and (hangs := suitable.why_it_hangs(current.worker_class, latest)) is not None:
        suited = limits.move_to_suitable(policy, latest, current, state.known.banned)
        if suited is None:
            return _hold(Reason.CLASS_UNSUITED, f"{hangs}, and no class that suits it is allowed")
        decision = Decision(action, Reason.CLASS_UNSUITED, f"{hangs}: {suited} instead of {current}", suited)
    elif (shared := sharing.shared_out(policy, state.known, current, max(latest.pods, inputs.pods))) is not None:
        decision = shared
    elif (relief := memory.relieve_memory(policy, latest, current)) is not None:
        decision = Decision(action, relief.reason, relief.message, relief.settings, relief.evidence)
    if decision is not None:
        if decision.settings in state.known.refused:
            return _hold(Reason.REFUSED_BEFORE, f"{decision.message}, but a server refused exactly that before")
        return decision
    cold = gate.warming_up(policy.windows, warm_up, inputs.now)
    return _hold(Reason.WARMING_UP, cold) if cold else None


def _not_tuned(policy: Policy, latest: Observation, current: Settings) -> str | None:
    """Return why the tuner does not tune the class that runs, if so."""
    if current.worker_class not in TUNABLE_CLASSES:
        known = ", ".join(each.value for each in TUNABLE_CLASSES)
        return f"the app runs {current}; the tuner tunes {known}"
    if current.worker_class is not WorkerClass.ASGI:
        return None
    if WorkerClass.ASGI not in policy.worker_classes:
        return f"the app runs {current}, which no other class may be able to serve, and the policy does not allow asgi"
    # a WSGI app behind a bridge: it has a slot for each thread, not for each connection
    if latest.slots < 0.5 * current.slots * latest.pods and latest.workers_ready >= current.workers * latest.pods:
        return (
            f"the app runs {current} with {latest.slots:.0f} slots: a WSGI app behind a bridge; "
            "gthread serves it better"
        )
    return None


def _decide(inputs: Inputs, situation: gate.Situation) -> Transition:
    """Ask the model, and the gate whether what the model proposes may begin."""
    policy, watching, current, window = situation.policy, situation.watching, situation.current, situation.window
    windows, state = policy.windows, situation.state
    proposal = model.propose(policy, window, current, state.known, now=situation.now, pods=inputs.pods)
    kinds = state.known.kinds.learn(window, Load.of(window, current), current)
    state = dataclasses.replace(state, known=dataclasses.replace(state.known, kinds=kinds))
    sure_requests = SURE_REQUESTS * windows.minimum_requests
    if proposal.alternative and not situation.is_emergency and window.requests < sure_requests:
        message = (
            f"between {proposal.settings} and {proposal.alternative}: {window.requests:.0f} requests are too few to "
            f"tell, {sure_requests:.0f} decide"
        )
        decision = Decision(
            Action.HOLD, Reason.TOO_FEW_REQUESTS, message, None, proposal.evidence, None, proposal.needs
        )
        return _in(state, dataclasses.replace(watching, standing=decision)), decision
    judged = gate.judge(situation, proposal)
    if judged.settings is not None:
        action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
        decision = Decision(
            action, judged.reason, judged.message, judged.settings, proposal.evidence, None, proposal.needs
        )
        return _act(inputs, state, decision, current=current, baseline=window, is_emergency=situation.is_emergency)
    if not _is_full(windows, window):  # an emergency in which there is nothing to do: let the window fill
        return state, watching.standing or _hold(judged.reason, judged.message)
    decision = Decision(Action.HOLD, judged.reason, judged.message, None, proposal.evidence, None, proposal.needs)
    watching = dataclasses.replace(watching, standing=decision, low_demand=judged.low_demand)
    if judged.reason is not Reason.DATA_MISSING or window.seconds >= BLIND_WINDOWS * windows.decision_seconds:
        watching = dataclasses.replace(watching, window=Window())
    return _in(state, watching), decision


def _is_full(windows: Windows, window: Observation) -> bool:
    return window.seconds >= gate.FULL_ENOUGH * windows.decision_seconds


def _too_little(
    windows: Windows, state: TunerState, watching: Watching, window: Observation, *, is_emergency: bool
) -> Transition | None:
    """Hold where the window has too little time or too few requests in it to ask the model."""
    if not _is_full(windows, window) and not (is_emergency and window.requests >= gate.EMERGENCY_REQUESTS):
        collecting = f"observing: {window.seconds:.0f} of {windows.decision_seconds:.0f} s"
        return state, watching.standing or _hold(Reason.COLLECTING, collecting)
    if not is_emergency and window.requests < windows.minimum_requests:
        decision = _hold(
            Reason.TOO_FEW_REQUESTS,
            f"{window.requests:.0f} requests in {window.seconds:.0f} s are too few to judge by; "
            f"{windows.minimum_requests:.0f} are needed",
        )
        watching = dataclasses.replace(watching, standing=decision)
        if window.seconds >= QUIET_WINDOWS * windows.decision_seconds:
            watching = dataclasses.replace(watching, window=Window())
        return _in(state, watching), decision
    if not window.requests:
        return state, _hold(Reason.TOO_FEW_REQUESTS, "connections wait, but no request was finished to judge by")
    return None


def _unseen(inputs: Inputs, window: Window) -> str:
    """Return why too much is missing to act, or nothing.

    A gap that is over loses nothing, for counters are cumulative; but a pod that is missing now may be busy, and gaps
    that keep coming back hide what the gauges would have shown.
    """
    if inputs.missing:
        return f"{inputs.missing} of {len(inputs.observations)} pods cannot be scraped now"
    if window.missing > max(1.0, TOLERATED_GAPS * window.scrapes):
        return f"{window.missing} of {window.scrapes} scrapes failed in this window"
    return ""


def _act(
    inputs: Inputs,
    state: TunerState,
    decision: Decision,
    *,
    current: Settings,
    baseline: Observation | None,
    is_emergency: bool = False,
) -> Transition:
    """Recommend the change, or begin it if the budget allows; without a baseline it is urgent, and not tried."""
    if decision.action is Action.HOLD:
        return state, decision
    if inputs.policy.mode is not Mode.AUTO:
        return _standing(state, decision), decision
    recent, most = state.history.recent(inputs.now), inputs.policy.changes_per_hour
    if baseline is not None and len(recent) >= most:
        wait = recent[-most] + HOUR - inputs.now
        spent = f"{len(recent)} changes began within the last hour: {wait:.0f} s to wait"
        message = f"{decision.settings} would suit, but {spent}"
        held = Decision(Action.HOLD, Reason.BUDGET_SPENT, message, evidence=decision.evidence)
        return _standing(state, held), held
    begun = beginning.begin(inputs, state, decision, current=current, baseline=baseline, is_emergency=is_emergency)
    if isinstance(begun, Decision):
        return _standing(state, begun), begun
    return begun


def _in(state: TunerState, watching: Watching) -> TunerState:
    return dataclasses.replace(state, phase=watching)


def _standing(state: TunerState, decision: Decision) -> TunerState:
    """Return the state with a decision that stands while the next window fills."""
    if not isinstance(state.phase, Watching):
        return state
    return _in(state, dataclasses.replace(state.phase, standing=decision, window=Window()))


def _hold(reason: Reason, message: str) -> Decision:
    return Decision(Action.HOLD, reason, message)
