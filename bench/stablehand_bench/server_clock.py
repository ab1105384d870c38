"""What a user sees: requests a second by the clock, with server, exporter and load on all cores as they like.

`server_throughput` counts CPU; a server that yields too often, or waits where it need not, loses here only.
One server runs at a time, plain gunicorn and ours in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import contestants, rounds, wrk
from stablehand_bench.by_the_clock import load, told
from stablehand_bench.contestants import PLAIN, STABLEHAND, Setup

if TYPE_CHECKING:
    from collections.abc import Callable


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
        results.append({"title": scenario.title, "contestants": told(measured, to=PLAIN)})
    return results


def _measure(name: str, scenario: Scenario, seconds: int) -> wrk.Load:
    setup = scenario.plain if name == PLAIN and scenario.plain is not None else scenario.setup
    with contestants.running(name, setup, core=None) as running:
        return load(running, f"{name}, {scenario.title}", core=None, seconds=seconds, keep_alive=scenario.keep_alive)
