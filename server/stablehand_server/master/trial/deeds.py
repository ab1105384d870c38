"""What workers have done so far, read from the shared memory for a trial's guard."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from stablehand_server.master.trial import answers
from stablehand_server.master.trial.answers import Answers
from stablehand_server.master.trial.guard import Deeds
from stablehand_server.shared_memory import BUCKETS, COUNTERS, Cell
from stablehand_server.workers.common.base import LAG_TICK_SECONDS
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_server.shared_memory import Slots


def of_worker(cells: memoryview[float], short: float, now: float) -> Deeds:
    """Return what one worker has done.

    Args:
        cells: those of its record.
        short: up to how many seconds a request is short.
        now: time.monotonic().
    """
    requests = _requests(cells)
    durations = list(cells[Cell.DURATION_BUCKETS : Cell.DURATION_BUCKETS + BUCKETS])
    # At most: of a bucket's requests only the bounds are known.
    bounds = DURATION_BUCKETS[: bisect_right(DURATION_BUCKETS, short)]
    of_short = sum(bound * count for bound, count in zip(bounds, durations, strict=False))
    # The timer writes how late it was only when it has fired at last: it may be later than ever just now.
    ticked_at = cells[Cell.TICKED_AT]
    since = now - ticked_at - LAG_TICK_SECONDS if ticked_at else 0.0
    return Deeds(
        finished=sum(requests),
        failed=_failed(requests),
        busy=cells[Cell.BUSY],
        short_seconds=min(cells[Cell.DURATION_SECONDS], of_short),
        late=max(cells[Cell.LAG_SECONDS], since),
        answers=Answers.of(cells[answers.CELLS]),
        clients=int(cells[Cell.CLIENTS]).bit_count(),
    )


def of_all(slots: Slots) -> Answers:
    """Return what all workers have answered since the server started, those that have ended included."""
    start = COUNTERS.index(Cell.REQUESTS)
    counted = slice(start, start + answers.KINDS)
    rows = [total[counted] for total in slots.all_totals().values()]
    rows += [list(each.cells[answers.CELLS]) for each in slots.living()]
    return Answers.of([sum(column) for column in zip(*rows, strict=True)]) if rows else answers.NONE


def _requests(cells: memoryview[float]) -> list[float]:
    return list(cells[Cell.REQUESTS : Cell.REQUESTS + len(STATUS_CODES)])


def _failed(requests: Sequence[float]) -> float:
    return sum(requests[place] for place in answers.FAILED)
