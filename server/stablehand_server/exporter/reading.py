"""A consistent copy of the shared mapping, taken without a lock."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from stablehand_server.shared_memory import Server

if TYPE_CHECKING:
    from stablehand_server.shared_memory import Slots

_LONGEST_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 0.001


class MappingBusy(RuntimeError):  # noqa: N818 (what happened, in the log's words)
    """The master did not finish a change of the mapping in time: it is stopped, or the machine is overloaded."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """The mapping at one moment.

    `totals` has the counters of each worker index that has any, in the order of COUNTERS; `records` the cells of each
    living process.
    """

    server: list[float]
    totals: dict[int, list[float]]
    records: list[list[float]]


def read(slots: Slots) -> Reading:
    """Copy the mapping between two folds of the master, so that each counter is seen exactly once.

    Raises:
        MappingBusy: when the master does not complete its change in time.
    """
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    while True:
        sequence = slots.server[Server.SEQUENCE]
        if sequence % 2 == 0:
            reading = Reading(
                server=list(slots.server),
                totals=slots.all_totals(),
                records=[list(record.cells) for record in slots.living()],
            )
            if slots.server[Server.SEQUENCE] == sequence:
                return reading
        if time.monotonic() > deadline:
            raise MappingBusy("the server's master does not respond: no consistent reading within a second")
        time.sleep(_PAUSE_SECONDS)
