"""A trial on all workers of a pod that is simulated by formulas, with the guard that a real server has."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.observe.snapshot import TrialReading

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.trial import Trial

FOUND_AFTER = 40.0  # failed requests: on a real server 22 to 59, where a third of 1,000 in a second fail
FAILED_OF_GUARD = 0.5  # of the guard's share: less is never harm


@dataclasses.dataclass
class GuardedChange:
    """A change of all workers that a server may undo: `base` is what it goes back to."""

    trial: Trial
    base: Settings
    state: str = "running"

    @property
    def target(self) -> Settings:
        """What all workers run meanwhile."""
        return self.trial.settings(self.trial.workers)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.state == "running"

    def reading(self) -> TrialReading:
        """Return what the server reports of it."""
        return TrialReading(self.trial.id, self.state, None)

    def look(self, requests: float, errors: float) -> float:
        """Return the share of the requests that fail until the guard ends it, if it does.

        Args:
            requests: that are served in an interval.
            errors: the share of them that fails under the target.
        """
        if not self.runs or errors < FAILED_OF_GUARD * self.trial.guard.failed_share or requests * errors < FOUND_AFTER:
            return errors
        self.state = "failed"
        return FOUND_AFTER / requests
