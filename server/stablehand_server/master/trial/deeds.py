"""What workers have done so far, read from the shared memory for a trial's guard."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from stablehand_server.master.trial import answers
from stablehand_server.master.trial.answers import Answers
from stablehand_server.master.trial.earlier import Served
from stablehand_server.master.trial.guard import Deeds
from stablehand_server.shared_memory import BUCKETS, COUNTERS, Cell, Server, State
from stablehand_server.workers.common.base import LAG_TICK_SECONDS
from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stablehand_server.shared_memory import Record, Slots

_REQUESTS = slice(Cell.REQUESTS - COUNTERS.start, Cell.REQUESTS - COUNTERS.start + len(STATUS_CODES))
_DURATIONS = slice(Cell.DURATION_BUCKETS - COUNTERS.start, Cell.DURATION_BUCKETS - COUNTERS.start + BUCKETS)


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
    return Deeds(
        finished=sum(requests),
        failed=_failed(requests),
        busy=cells[Cell.BUSY],
        short_seconds=min(cells[Cell.DURATION_SECONDS], of_short),
        late=_late(cells, now),
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


class ServerDeeds:
    """What all workers have done since the server started; it is asked for many times a second."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._sequence = -1.0
        self._of_ended = [0.0] * len(COUNTERS)

    def so_far(self, records: Iterable[Record], now: float) -> Served:
        """Return what the workers that have ended and those with these records, all others, have done."""
        sequence = self._slots.server[Server.SEQUENCE]
        if sequence != self._sequence:  # the totals have changed
            self._sequence = sequence
            rows = self._slots.all_totals().values()
            self._of_ended = [sum(column) for column in zip(*rows, strict=True)] or [0.0] * len(COUNTERS)
        cells = [each.cells for each in records]
        counters = [each[COUNTERS.start : COUNTERS.stop].tolist() for each in cells]
        counted = [sum(column) for column in zip(self._of_ended, *counters, strict=True)]
        return Served(
            finished=sum(counted[_REQUESTS]),
            failed=_failed(counted[_REQUESTS]),
            busy=sum(each[Cell.BUSY] for each in cells),
            late=max((_late(each, now) for each in cells if each[Cell.STATE] == State.READY), default=0.0),
            durations=tuple(counted[_DURATIONS]),
            seconds=counted[COUNTERS.index(Cell.DURATION_SECONDS)],
        )


def _late(cells: memoryview[float], now: float) -> float:
    # The timer writes how late it was only when it has fired at last: it may be later than ever just now.
    ticked_at = cells[Cell.TICKED_AT]
    since = now - ticked_at - LAG_TICK_SECONDS if ticked_at else 0.0
    return max(cells[Cell.LAG_SECONDS], since)


def _requests(cells: memoryview[float]) -> list[float]:
    return list(cells[Cell.REQUESTS : Cell.REQUESTS + len(STATUS_CODES)])


def _failed(requests: Sequence[float]) -> float:
    return sum(requests[place] for place in answers.FAILED)
