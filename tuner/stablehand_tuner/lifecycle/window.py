"""What has been observed so far: since the last decision, and since the app was first seen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.lifecycle import checked
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Window:
    """What was observed since the window began, from `scrapes` scrapes, of which `missing` failed."""

    observed: Observation | None = None
    missing: int = 0
    scrapes: int = 0

    @property
    def seconds(self) -> float:
        """How much time was observed."""
        return 0.0 if self.observed is None else self.observed.seconds

    def add(self, observed: Observation | None, *, missing: int, scrapes: int) -> Window:
        """Return the window with one more round of scrapes; `observed` is None if nothing of it counts."""
        if observed is None or self.observed is None:
            together = observed or self.observed
        else:
            together = aggregation.merge(self.observed, observed)
        return Window(together, self.missing + missing, self.scrapes + scrapes)

    def to_mapping(self) -> dict[str, Any]:
        """Return the window as plain JSON."""
        observed = None if self.observed is None else self.observed.to_mapping()
        return {"observed": observed, "missing": self.missing, "scrapes": self.scrapes}

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Window:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        observed = fields["observed"]
        return cls(
            observed=None if observed is None else Observation.from_mapping(observed),
            missing=checked.count(fields["missing"]),
            scrapes=checked.count(fields["scrapes"]),
        )


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """When the app was first seen, Unix seconds, and how many requests it has served since."""

    since: float
    requests: float = 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"since": self.since, "requests": self.requests}

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> WarmUp:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(since=checked.number(fields["since"]), requests=checked.number(fields["requests"]))
