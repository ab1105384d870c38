"""What a user sees: requests a second by the clock, with server, exporter and load on all cores as they like.

`server_throughput` counts CPU; a server that yields too often, or waits where it need not, loses here only.
One server runs at a time, plain gunicorn and ours in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import contestants, rounds, wrk
from stablehand_bench.contestants import PLAIN, STABLEHAND, Setup
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECTIONS = 32
_WARM_UP_SECONDS = 1


class Scenario(NamedTuple):
    """A class under its usual load; `plain` is what plain gunicorn runs, where that is another one."""

    title: str
    setup: Setup
    keep_alive: bool = True
    plain: Setup | None = None


# Plain gunicorn has no eventlet any more, and serves no WSGI app under asgi: there, its threads are what ours replace.
SCENARIOS = (
    Scenario("sync, a connection a request", Setup("sync"), keep_alive=False),
    Scenario("gthread 1 × 4, keep-alive", Setup("gthread", threads=4)),
    Scenario("gevent, keep-alive", Setup("gevent")),
    Scenario("gevent × 2, keep-alive", Setup("gevent", workers=2)),
    Scenario("tornado, keep-alive", Setup("tornado")),
    Scenario("asgi, keep-alive", Setup("asgi")),
    Scenario(
        "a WSGI app under asgi 1 × 4, beside gthread 1 × 4, keep-alive",
        Setup("asgi", threads=4, bridged=True),
        plain=Setup("gthread", threads=4),
    ),
)


def run(*, count: int, seconds: int, only: str | None, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run both servers in so many interleaved rounds of so many seconds; `only` is a worker class, or None for all.

    Returns:
        A list of scenarios, each with its contestants: spreads of requests a second, of their ratio to plain
        gunicorn's in the same round, and of the 99th percentile in milliseconds.
    """
    results = []
    for scenario in SCENARIOS:
        if only is not None and scenario.setup.worker_class != only:
            continue
        progress(f"by the clock, {scenario.title}")

        def one(name: str, scenario: Scenario = scenario) -> wrk.Load:
            return _measure(name, scenario, seconds)

        measured = rounds.interleaved((PLAIN, STABLEHAND), count, one)
        base = [each.per_second for each in measured[PLAIN]]
        told = {
            name: {
                "per_second": Spread.of([each.per_second for each in runs]),
                "ratio": rounds.ratios([each.per_second for each in runs], base),
                "p99": Spread.of([1000 * each.p99_seconds for each in runs]),
                "failed": sum(each.failed for each in runs),
            }
            for name, runs in measured.items()
        }
        results.append({"title": scenario.title, "contestants": told})
    return results


def _measure(name: str, scenario: Scenario, seconds: int) -> wrk.Load:
    setup = scenario.plain if name == PLAIN and scenario.plain is not None else scenario.setup
    with contestants.running(name, setup, core=None) as running:

        def load(duration: int) -> wrk.Load:
            return wrk.run(
                running.url, core=None, connections=_CONNECTIONS, seconds=duration, keep_alive=scenario.keep_alive
            )

        load(_WARM_UP_SECONDS)
        seen = load(seconds)
        if not seen.requests:
            raise BenchError(f"{name} served nothing, {scenario.title}:\n{running.server.log()[-2000:]}")
        return seen
