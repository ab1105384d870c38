"""What all pods share, like a database's connections: each gets its part of it, also before more pods are there.

A pod starts with what every pod should run. If that were as much as fewer pods may have each, the pods to come would
find the limit again, by requests that fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import applying, ending
from stablehand_tuner.model import ceilings
from stablehand_tuner.policy import Mode
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.ending import Transition
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.model.known import Known
    from stablehand_tuner.policy import Policy


def shared_out(policy: Policy, known: Known, settings: Settings, pods: float) -> Decision | None:
    """Return the decision for each pod's part of a ceiling that the pods together exceed; None where they do not."""
    for limit in known.ceilings.shared(settings, pods):
        fewer = ceilings.reduced(policy, settings, int(limit.slots / pods))
        if fewer.slots >= settings.slots or not policy.allows(fewer):
            continue
        message = f"{pods:.0f} pods have {settings} each, but {limit.ceiling}: {fewer} instead"
        action = Action.APPLY if policy.mode is Mode.AUTO else Action.RECOMMEND
        return Decision(action, Reason.SHARED_CEILING, message, fewer)
    return None


def expect_pods(policy: Policy, state: TunerState, pods: int, now: float) -> Transition | None:
    """Share out anew what all pods share, because there will be more of them.

    A change under way ends where it is: there is no time to wait for it.

    Args:
        policy: what the user allows.
        state: what `step` returned last, or what was stored of it.
        pods: how many there will be.
        now: Unix time, seconds.

    Returns:
        The state, to be stored before the decision is carried out, and the decision, which has settings for every pod;
        None where what the pods run is not too much, or where the tuner may change nothing.
    """
    settings = state.desired
    if settings is None or policy.mode is not Mode.AUTO or policy.frozen:
        return None
    decision = shared_out(policy, state.known, settings, pods)
    if decision is None or decision.settings in state.known.refused:
        return None
    watching = ending.watch_again(state, settings)
    return applying.begin(watching, decision, now, before=settings, baseline=None)
