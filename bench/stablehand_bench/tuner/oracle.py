"""The oracle: the best of all contestants that were tried. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

NEARLY = 0.95  # of the highest throughput: as good, so the latency decides


class Score(NamedTuple):
    """What one contestant reached: requests a second, and the 99th percentile of latencies in seconds."""

    name: str
    per_second: float
    p99_seconds: float


def best(scores: Iterable[Score]) -> Score | None:
    """Return the one with the lowest p99 among those within 5 % of the highest throughput; None if there is none.

    A contestant that failed a request has no score.
    """
    able = list(scores)
    if not able:
        return None
    enough = NEARLY * max(score.per_second for score in able)
    return min((score for score in able if score.per_second >= enough), key=lambda score: score.p99_seconds)


def candidates(scores: Iterable[Score], count: int) -> list[str]:
    """Return the names of the best, of the best of the others, and so on.

    One short look at each of many finds lucky ones too: so the first few are measured again, beside everyone else,
    and the oracle is the best of those.
    """
    rest = list(scores)
    found: list[str] = []
    while len(found) < count and (winner := best(rest)) is not None:
        found.append(winner.name)
        rest.remove(winner)
    return found
