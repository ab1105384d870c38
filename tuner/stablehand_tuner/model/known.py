"""What is known of an app from before: what no single window shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.model.footprint import Footprint
from stablehand_tuner.model.kinds import Kinds

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings import WorkerClass


@dataclasses.dataclass(frozen=True)
class Known:
    """What earlier windows and changes have taught.

    `banned` are the classes that failed, `footprint` is the memory of a worker and of a request, `kinds` are the app's
    kinds of requests, and `memory_ceiling` is the least number of a pod's slots that ran out of memory, 0 where none
    did.
    """

    banned: frozenset[WorkerClass] = frozenset()
    footprint: Footprint = dataclasses.field(default_factory=Footprint)
    kinds: Kinds = dataclasses.field(default_factory=Kinds)
    memory_ceiling: int = 0
