"""What one step of the tuner is given beside its state."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.trial_seen import TrialSeen
    from stablehand_tuner.policy import Policy


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The policy, the observations and the time of one step.

    Attributes:
        policy: what the user allows.
        observations: by pod; None where a scrape is missing or unusable.
        now: Unix seconds.
        can_canary: whether the caller can give one pod settings of its own.
        trials: by pod, what servers that know trials on one worker report of them; None where the caller can begin
            none.
        pods: how many pods there are or will be, if those observed are not all.
    """

    policy: Policy
    observations: Mapping[str, Observation | None]
    now: float
    can_canary: bool = False
    trials: Mapping[str, TrialSeen] | None = None
    pods: int = 0

    @property
    def present(self) -> list[Observation]:
        """The observations that there are."""
        return [each for each in self.observations.values() if each is not None]

    @property
    def missing(self) -> int:
        """How many pods cannot be observed now."""
        return sum(each is None for each in self.observations.values())
