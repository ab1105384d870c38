"""Which pod tries new settings before the others do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings_file import SettingsFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.trial import Trial
    from stablehand_tuner.observe.observation import Observation


@dataclasses.dataclass(frozen=True)
class Canary:
    """The one pod that should run other settings than the rest of the app.

    While `TunerState.canary` is one, `pod` should run `settings`, whatever `TunerState.desired` is for all others;
    while it is None, no pod has settings of its own. A shell only has to make that true: it also removes the settings
    of any pod that has some and is not the canary. With a `trial`, one worker of the pod runs that instead.
    """

    pod: str
    settings: Settings
    trial: Trial | None = None

    @property
    def file(self) -> SettingsFile:
        """What the pod's settings file should have in it."""
        return SettingsFile(self.settings, self.trial)


def choose(observations: Mapping[str, Observation | None]) -> str | None:
    """Return the pod whose response time is the median, so that later differences come from the settings.

    None where there are fewer than two pods, or one cannot be observed: then there is nothing to compare it with.
    """
    if len(observations) < 2:  # noqa: PLR2004 (one, and one to compare it with)
        return None
    responses: list[tuple[float, str]] = []
    for pod, seen in observations.items():
        if seen is None or not seen.steady:
            return None
        responses.append((seen.response_seconds or 0.0, pod))
    # of an even number the faster of the two in the middle: it has the lighter load, so the least is at stake
    return sorted(responses)[(len(responses) - 1) // 2][1]
