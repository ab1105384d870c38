"""What measuring costs: each contestant beside plain gunicorn, at the same time on the same core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import contestants, processes, rounds, wrk
from stablehand_bench.contestants import PLAIN, Setup
from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stablehand_bench.contestants import Running
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
    """One server's part of a run: requests a second, its CPU seconds a request (all processes), and failures."""

    per_second: float
    cpu_seconds: float
    failed: int


class Pair(NamedTuple):
    """A contestant and plain gunicorn, in the same seconds on the same core."""

    contestant: Measured
    plain: Measured

    @property
    def ratio(self) -> float:
        """The requests that the contestant serves in a second of CPU, to plain gunicorn's."""
        return self.plain.cpu_seconds / self.contestant.cpu_seconds


def measure(name: str, scenario: Scenario, cores: Cores, seconds: int) -> Pair:
    """Start a contestant and plain gunicorn, warm them up, and load both at once.

    They share the core, so whatever slows the machine down slows both in the same moments. One after the other, two
    runs of the same server differ by a quarter on a virtual machine with neighbours; side by side by a fiftieth.

    Raises:
        BenchError: when one does not start, or serves nothing.
    """
    with (
        contestants.running(PLAIN, scenario.setup, core=cores.server) as plain,
        contestants.running(name, scenario.setup, core=cores.server) as contestant,
    ):
        both = (contestant, plain)
        _load(both, scenario, cores, _WARM_UP_SECONDS)
        before = [each.server.cpu_seconds() for each in both]
        seen = _load(both, scenario, cores, seconds)
        spent = [processes.spent(start, each.server.cpu_seconds()) for each, start in zip(both, before, strict=True)]
        for each, load in zip(both, seen, strict=True):
            if not load.requests:
                raise BenchError(f"{name} served nothing, {scenario.title}:\n{each.server.log()[-2000:]}")
        measured = [
            Measured(load.per_second, cpu / load.requests, load.failed) for load, cpu in zip(seen, spent, strict=True)
        ]
        return Pair(*measured)


def _load(both: Sequence[Running], scenario: Scenario, cores: Cores, seconds: int) -> list[wrk.Load]:
    def one(running: Running) -> wrk.Load:
        return wrk.run(
            running.url, core=cores.load, connections=_CONNECTIONS, seconds=seconds, keep_alive=scenario.keep_alive
        )

    with ThreadPoolExecutor(len(both)) as pool:
        return list(pool.map(one, both))


def run(
    cores: Cores, *, count: int, seconds: int, only: str | None, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run all scenarios, each in so many interleaved rounds of so many seconds.

    Args:
        cores: where servers and load run.
        count: rounds.
        seconds: of load, each time.
        only: a worker class, or None for all.
        progress: is told each scenario as it begins.

    Returns:
        A list of scenarios, each with its contestants: spreads of requests a second, of CPU microseconds a request,
        and of requests in a second of CPU as a ratio to plain gunicorn in the same seconds.
    """
    results = []
    for scenario in SCENARIOS:
        if only is not None and scenario.setup.worker_class != only:
            continue
        progress(scenario.title)
        names = [name for name in contestants.of(scenario.setup.worker_class) if name != PLAIN]

        def one(name: str, scenario: Scenario = scenario) -> Pair:
            return measure(name, scenario, cores, seconds)

        results.append({"title": scenario.title, "contestants": _told(rounds.interleaved(names, count, one))})
    return results


def _told(measured: Mapping[str, Sequence[Pair]]) -> dict[str, dict[str, Any]]:
    plain = [pair.plain for pairs in measured.values() for pair in pairs]
    told = {PLAIN: _spreads(plain, [1.0])}
    for name, pairs in measured.items():
        told[name] = _spreads([pair.contestant for pair in pairs], [pair.ratio for pair in pairs])
    return told


def _spreads(runs: Sequence[Measured], ratios: Sequence[float]) -> dict[str, Any]:
    return {
        "per_second": Spread.of([each.per_second for each in runs]),
        "cpu_microseconds": Spread.of([each.cpu_seconds * 1e6 for each in runs]),
        "ratio": Spread.of(ratios),
        "failed": sum(each.failed for each in runs),
    }
