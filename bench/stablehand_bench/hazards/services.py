"""What an app with a hazard needs beside its server, for all its measurements: a database, an upstream, a folder."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from typing import TYPE_CHECKING

from stablehand_bench import processes
from stablehand_bench.hazards import postgres
from stablehand_bench.tuner.measure import PYTHONPATH
from stablehand_bench.tuner.placement import pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stablehand_bench.hazards.catalogue import Hazard


def require(hazards: Iterable[Hazard]) -> None:
    """Raise BenchError, saying what to install, when something is missing that one of the apps needs."""
    if any(each.max_connections for each in hazards):
        postgres.programs()


@contextlib.contextmanager
def running(hazard: Hazard, cores: tuple[int, ...]) -> Iterator[Mapping[str, str]]:
    """Start what an app needs, yield the variables by which it is found, and end it with the block."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="stablehand-bench-"))
        variables = {"STABLEHAND_BENCH_DIRECTORY": directory}
        if hazard.max_connections:
            variables["STABLEHAND_BENCH_POSTGRES"] = stack.enter_context(postgres.running(hazard.max_connections))
        if hazard.upstream:
            (port,) = processes.free_ports(1)
            command = pinned(cores, [sys.executable, "-m", "stablehand_bench.apps.hazards.upstream", str(port)])
            environment = {"PYTHONPATH": PYTHONPATH}
            stack.enter_context(processes.serving(command, environment=environment, core=None, port=port))
            variables["STABLEHAND_BENCH_UPSTREAM"] = str(port)
        yield variables
