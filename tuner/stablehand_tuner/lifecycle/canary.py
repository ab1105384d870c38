"""One pod of several tries new settings: which, and what has been compared so far with its siblings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.evidence.comparison import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observe.observation import Observation


@dataclasses.dataclass(frozen=True)
class Canary:
    """The one pod that should run other settings than the rest of the app.

    While `TunerState.canary` is one, `pod` should run `settings`, whatever `TunerState.desired` says for all others;
    while it is None, no pod has settings of its own. That is all that a shell has to carry out: what it finds otherwise
    (a pod with settings of its own that is not the canary), it takes back. `comparison` is the tuner's own.
    """

    pod: str
    settings: Settings
    comparison: Comparison = dataclasses.field(default_factory=Comparison)

    def to_mapping(self) -> dict[str, Any]:
        """Return the canary as plain JSON."""
        return {
            "pod": self.pod,
            "settings": self.settings.to_mapping(),
            "comparison": self.comparison.to_mapping(),
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Canary:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(
            pod=str(fields["pod"]),
            settings=Settings.from_mapping(fields["settings"]),
            comparison=Comparison.from_mapping(fields["comparison"]),
        )


def choose(observations: Mapping[str, Observation | None]) -> str | None:
    """Return the pod that is most like all others, so that what differs later is the settings' doing.

    None where there are fewer than two pods, or one cannot be seen: then there is nobody to compare it with.
    """
    if len(observations) < 2:  # noqa: PLR2004 (one, and one to compare it with)
        return None
    responses: list[tuple[float, str]] = []
    for pod, seen in observations.items():
        if seen is None or not seen.steady:
            return None
        responses.append((seen.response_seconds or 0.0, pod))
    # of an even number the faster of the two in the middle: it has the lighter load, and the least to lose
    return sorted(responses)[(len(responses) - 1) // 2][1]
