"""How long the parts of a cell take."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Durations:
    """How long things take, in seconds.

    A load warms a server up for `warm_up`, then it is measured for `measured`. A tuner is measured as soon as its
    settings have stayed for `calm`, and at the latest after `tuning`. Who else adapts has `adapting` instead of the
    warm-up.
    """

    warm_up: int = 2
    measured: int = 6
    calm: int = 40
    tuning: int = 120
    adapting: int = 30
