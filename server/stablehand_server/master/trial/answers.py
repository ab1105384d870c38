"""What workers have answered, by kind, and which kinds were rare before a trial.

An app that breaks does not always answer 5xx. A process that lacks a session says 401, or sends the client to its login
page; one that lacks an object says 404; a page whose content was mixed up is longer or shorter. None of these is harm
in itself, and an app may give any of them all the time. So what counts as unusual is a kind of answer that was rare
before: less than RARE of at least ENOUGH answers.

Every answer is of one kind: its class of status, but one of NOTED_STATUSES each by itself, and of the successful ones
whose size is known each power of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stablehand_server.master.trial.comparison import Requests
from stablehand_server.shared_memory import SIZES, Cell
from stablehand_tuner.contracts.metric_names import BODY_BUCKETS, NOTED_STATUSES, STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

RARE = 0.01
ENOUGH = 50.0
_2XX, _4XX = STATUS_CODES.index("2xx"), STATUS_CODES.index("4xx")
_NOTED = Cell.NOTED - Cell.REQUESTS
_SIZES = Cell.BODY_BUCKETS - Cell.REQUESTS
KINDS = _SIZES + SIZES
CELLS = slice(int(Cell.REQUESTS), int(Cell.REQUESTS) + KINDS)  # of a record: so many answers of each kind
_SIZE_NAMES = (
    *(f"2xx of up to {bound:.0f} bytes" for bound in BODY_BUCKETS),
    f"2xx of more than {BODY_BUCKETS[-1]:.0f}",
)
_NAMES = (*STATUS_CODES, *NOTED_STATUSES, *_SIZE_NAMES)
FAILED = tuple(STATUS_CODES.index(code) for code in ("5xx", "error"))
_TAKEN_OVER = STATUS_CODES.index("1xx")  # the connection, by a websocket for example


class Answers(NamedTuple):
    """How many answers of each kind there were, each counted once, in the order of the cells of CELLS."""

    counts: tuple[float, ...] = (0.0,) * KINDS

    @classmethod
    def of(cls, cells: Sequence[float]) -> Answers:
        """Return what the cells of CELLS say, where noted statuses and known sizes are counted in their class too."""
        counts = list(cells)
        counts[_4XX] -= sum(counts[_NOTED:_SIZES])
        counts[_2XX] -= sum(counts[_SIZES:])
        return cls(tuple(max(0.0, each) for each in counts))

    def since(self, earlier: Answers) -> Answers:
        """Return those that came after earlier."""
        return Answers(tuple(max(0.0, now - then) for now, then in zip(self.counts, earlier.counts, strict=True)))

    def plus(self, more: Answers) -> Answers:
        """Return the sum."""
        return Answers(tuple(map(sum, zip(self.counts, more.counts, strict=True))))

    def split(self, kinds: Sequence[int]) -> Requests:
        """Return those of the kinds as failed requests, and all others as good ones."""
        of_kinds = sum(self.counts[each] for each in kinds)
        return Requests(failed=of_kinds, good=sum(self.counts) - of_kinds)

    def named(self, kinds: Sequence[int]) -> str:
        """Return how many there are of the kinds, the most frequent ones by name."""
        found = sorted(((self.counts[each], _NAMES[each]) for each in kinds if self.counts[each]), reverse=True)
        return ", ".join(f"{count:.0f} times {name}" for count, name in found[:3]) or "none"


NONE = Answers()


def rare(before: Answers) -> tuple[int, ...]:
    """Return the kinds, but failures, that were rare before; none where there were too few answers to tell."""
    all_before = sum(before.counts)
    if all_before < ENOUGH:
        return ()
    known = {*FAILED, _TAKEN_OVER}
    return tuple(kind for kind, count in enumerate(before.counts) if kind not in known and count < RARE * all_before)


def bitmap(kinds: Sequence[int]) -> float:
    """Return the kinds as a worker's recorder reads them, UNUSUAL."""
    return float(sum(1 << kind for kind in kinds))
