"""Requests a second as the clock has it: one server's load, and what the rounds of several come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_bench import rounds, wrk
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stablehand_bench.contestants import Running

_CONNECTIONS = 32
_WARM_UP_SECONDS = 1


def load(running: Running, title: str, *, core: int | None, seconds: int, keep_alive: bool = True) -> wrk.Load:
    """Load a server for so many seconds, after a short while in which it warms up; from one core, or from any.

    Raises:
        BenchError: when it serves nothing; the text has the title and the end of its log.
    """
    for duration in (_WARM_UP_SECONDS, seconds):
        seen = wrk.run(running.url, core=core, connections=_CONNECTIONS, seconds=duration, keep_alive=keep_alive)
    if not seen.requests:
        raise BenchError(f"{title} served nothing:\n{running.server.log()[-2000:]}")
    return seen


def told(measured: Mapping[str, Sequence[wrk.Load]], *, to: str) -> dict[str, dict[str, Any]]:
    """Return for each contestant the spreads of its rounds, its ratio to another one in the same round among them."""
    base = [each.per_second for each in measured[to]]
    return {
        name: {
            "per_second": Spread.of([each.per_second for each in runs]),
            "ratio": rounds.ratios([each.per_second for each in runs], base),
            "p99": Spread.of([1000 * each.p99_seconds for each in runs]),
            "failed": sum(each.failed for each in runs),
        }
        for name, runs in measured.items()
    }
