"""One cell: a server with static settings, or the tuner's, under load from its first request, every answer checked."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench import processes
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, measure, memory_limit
from stablehand_bench.tuner.generators import Seen
from stablehand_bench.tuner.placement import pinned
from stablehand_bench.tuner.results import Cell
from stablehand_bench.tuner.watch import Watch
from stablehand_dev.load.result import LoadResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stablehand_bench.hazards.catalogue import Hazard
    from stablehand_bench.tuner.durations import Durations
    from stablehand_bench.tuner.measure import Command, Place, Served
    from stablehand_bench.tuner.results import Key

CONNECTIONS = 64
HUNG = "hung_at_the_end"
KILLED = "killed_for_memory"
_BOOT_SECONDS = 15.0
_END_SECONDS = 30.0


class Loaded(NamedTuple):
    """What the client saw, and how much of a core it took."""

    result: LoadResult
    core_share: float

    def seen(self, seconds: int) -> Seen:
        """Return the last so many seconds; the requests are those that were answered as they should be."""
        end = round(self.result.seconds)
        part = self.result.between(end - seconds, end)
        return Seen(part.completed, part.seconds, part.failed, part.p99 or 0.0, self.core_share)


def static(
    place: Place, hazard: Hazard, key: Key, command: Command, variables: Mapping[str, str], *, durations: Durations
) -> Cell:
    """Measure static settings; `failed` counts all the time, and what cannot run has a note that says why.

    A server that must be killed at its end, since its workers hang, has failed as well: each deployment would lose what
    they have.
    """
    try:
        with _serving(place, hazard, command, variables) as served:
            loaded = _load(place, hazard, served, durations.warm_up + durations.measured)
            killed = served.limit.kills() if served.limit is not None else 0
            ended = time.monotonic()
    except memory_limit.NoCgroup as reason:
        return Cell(*key, note=str(reason))
    except BenchError as error:
        return Cell(*key, note=str(error).strip()[-500:])
    failures = dict(loaded.result.failures)
    if time.monotonic() - ended >= processes.END_SECONDS:
        failures[HUNG] = 1
    if killed and not failures:
        failures[KILLED] = killed
    settings = key.contestant.removeprefix(contestants.STATIC)
    failed = sum(failures.values())
    return Cell.of(key, loaded.seen(durations.measured), failed=failed, settings=settings, failures=failures)


def tuned(
    place: Place, hazard: Hazard, key: Key, command: Command, variables: Mapping[str, str], *, tuning: int, seconds: int
) -> Cell:
    """Measure the tuner: so many seconds of load from its first settings on, the last `seconds` of them apart."""
    try:
        with _serving(place, hazard, command, variables) as served, Watch(served.metrics_port) as watch:
            loaded = _load(place, hazard, served, tuning)
            told = measure.tuned(watch, served, loaded.result.requests, loaded.result.failed)
            return Cell.of(
                key,
                loaded.seen(seconds),
                settings=told.last_settings,
                tuned=told,
                failures=dict(loaded.result.failures),
            )
    except memory_limit.NoCgroup as reason:
        return Cell(*key, note=str(reason))
    except BenchError as error:
        return Cell(*key, note=str(error).strip()[-500:])


@contextlib.contextmanager
def _serving(place: Place, hazard: Hazard, command: Command, variables: Mapping[str, str]) -> Iterator[Served]:
    with place.serving(hazard.workload, command, environment=variables, boot_seconds=_BOOT_SECONDS) as served:
        yield served


def _load(place: Place, hazard: Hazard, served: Served, seconds: int) -> Loaded:
    """Load a server for so many seconds.

    Raises:
        BenchError: when the client fails, or the server has ended.
    """
    command = [sys.executable, "-m", "stablehand_bench.hazards.client", served.url, str(seconds)]
    command += ["--connections", str(CONNECTIONS), *(["--logins"] if hazard.logins else [])]
    try:
        client = subprocess.run(
            pinned(place.placement.load, command),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _END_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the load did not end within {seconds + _END_SECONDS:g} s") from error
    if client.returncode:
        raise BenchError(f"the load ended with status {client.returncode}: {client.stderr}")
    served.server.check()
    told = json.loads(client.stdout)
    return Loaded(LoadResult.from_mapping(told["result"]), told["core_share"])
