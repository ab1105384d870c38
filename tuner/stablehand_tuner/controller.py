"""The whole tuner as one pure state machine: `step(policy, state, observations, now) -> (state, decisions)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.reasons import Reason
from stablehand_tuner.state import TunerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observation import Observation
    from stablehand_tuner.policy import Policy

__all__ = ["TunerState", "step"]


def step(
    policy: Policy, state: TunerState, observations: Mapping[str, Observation | None], now: float
) -> tuple[TunerState, tuple[Decision, ...]]:
    """Decide once; call it after every round of scrapes.

    Args:
        policy: what the user allows.
        state: what the last step returned, or what storage has of it.
        observations: by pod; None where a scrape is missing or unusable. Only pods that should serve.
        now: seconds on a clock that goes on over restarts (Unix time).

    Returns:
        The state, to be stored before anything is done about the decisions, and at least one decision. Decisions with
        `changes_settings` carry what every server should run from now on; carrying one out twice changes nothing.
    """
    del policy, observations, now
    return state, (Decision(Action.HOLD, Reason.COLLECTING, "collecting"),)
