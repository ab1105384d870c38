"""What measuring costs: requests a second of each contestant against plain gunicorn on the same core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import contestants, rounds, wrk
from stablehand_bench.contestants import PLAIN, Setup
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_bench.machine import Cores

_CONNECTIONS = 32
_WARM_UP_SECONDS = 1


class Scenario(NamedTuple):
    """A class under one kind of load."""

    setup: Setup
    keep_alive: bool

    @property
    def title(self) -> str:
        """What a table calls it."""
        threads = f" 1 × {self.setup.threads}" if self.setup.threads > 1 else ""
        return f"{self.setup.worker_class}{threads}, {'keep-alive' if self.keep_alive else 'a connection a request'}"


# One worker on one core: each request's cost, without the chance of how connections spread over workers.
SCENARIOS = (
    Scenario(Setup("sync"), keep_alive=False),  # gunicorn's sync closes every connection anyway
    Scenario(Setup("gthread", threads=4), keep_alive=True),
    Scenario(Setup("gthread", threads=4), keep_alive=False),
    Scenario(Setup("gevent"), keep_alive=True),
    Scenario(Setup("gevent"), keep_alive=False),
    Scenario(Setup("tornado"), keep_alive=True),
    Scenario(Setup("tornado"), keep_alive=False),
    Scenario(Setup("asgi"), keep_alive=True),
    Scenario(Setup("asgi"), keep_alive=False),
)


class Measured(NamedTuple):
    """One run: requests a second, and the server's CPU seconds a request, all its processes together."""

    per_second: float
    cpu_seconds: float
    failed: int


def measure(name: str, scenario: Scenario, cores: Cores, seconds: int) -> Measured:
    """Start a contestant, warm it up, and load it.

    Raises:
        BenchError: when it does not start, or serves nothing.
    """
    with contestants.running(name, scenario.setup, core=cores.server) as running:

        def load(duration: int) -> wrk.Load:
            return wrk.run(
                running.url,
                core=cores.load,
                connections=_CONNECTIONS,
                seconds=duration,
                keep_alive=scenario.keep_alive,
            )

        load(_WARM_UP_SECONDS)
        before = running.server.cpu_seconds()
        seen = load(seconds)
        spent = running.server.cpu_seconds() - before
        if not seen.requests:
            raise BenchError(f"{name} served nothing, {scenario.title}:\n{running.server.log()[-2000:]}")
        return Measured(seen.per_second, spent / seen.requests, seen.failed)


def run(
    cores: Cores, *, count: int, seconds: int, only: str | None, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run all scenarios, each in so many interleaved rounds of so many seconds.

    Args:
        cores: where server and load run.
        count: rounds.
        seconds: of load, each time.
        only: a worker class, or None for all.
        progress: is told each scenario as it begins.

    Returns:
        A list of scenarios, each with its contestants: spreads of requests a second, of CPU microseconds a request,
        and of both as ratios to plain gunicorn in the same round.
    """
    results = []
    for scenario in SCENARIOS:
        if only is not None and scenario.setup.worker_class != only:
            continue
        progress(scenario.title)
        names = contestants.of(scenario.setup.worker_class)

        def one(name: str, scenario: Scenario = scenario) -> Measured:
            return measure(name, scenario, cores, seconds)

        results.append({"title": scenario.title, "contestants": _told(rounds.interleaved(names, count, one))})
    return results


def _told(measured: Any) -> dict[str, dict[str, Any]]:
    plain = measured[PLAIN]
    return {
        name: {
            "per_second": Spread.of([each.per_second for each in runs]),
            "cpu_microseconds": Spread.of([each.cpu_seconds * 1e6 for each in runs]),
            "ratio": rounds.ratios([each.per_second for each in runs], [each.per_second for each in plain]),
            "cpu_ratio": rounds.ratios([each.cpu_seconds for each in runs], [each.cpu_seconds for each in plain]),
            "failed": sum(each.failed for each in runs),
        }
        for name, runs in measured.items()
    }
