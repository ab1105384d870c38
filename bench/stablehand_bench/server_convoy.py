"""The GIL's convoy: what threads of one process lose by waking each other across cores, at every system call.

Pinning a process to one core is the remedy that is known; what it gives is the measure here. It has a price that this
bench does not show: pinned threads never compute on two cores at once, which libraries that release the GIL can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_bench import contestants, rounds, wrk
from stablehand_bench.by_the_clock import load, told
from stablehand_bench.contestants import PLAIN, STABLEHAND, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_bench.machine import Cores

PINNED = f"{PLAIN}, pinned to one core"
_PINNED_OURS = f"{STABLEHAND}, pinned to one core"
_CONTESTANTS = (PINNED, PLAIN, STABLEHAND, _PINNED_OURS)
_THREADS = (4, 16)


def run(cores: Cores, *, count: int, seconds: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run one process of so many threads, free to use every core and pinned to one, in interleaved rounds.

    Returns:
        A list of numbers of threads, each with its contestants: spreads of requests a second, and of their ratio to
        pinned plain gunicorn's in the same round.
    """
    results = []
    for threads in _THREADS:
        title = f"gthread 1 × {threads}"
        progress(f"convoy, {title}")

        def one(name: str, threads: int = threads) -> wrk.Load:
            return _measure(name, Setup("gthread", threads=threads), cores, seconds)

        measured = rounds.interleaved(_CONTESTANTS, count, one)
        results.append({"title": title, "contestants": told(measured, to=PINNED)})
    return results


def _measure(name: str, setup: Setup, cores: Cores, seconds: int) -> wrk.Load:
    server = STABLEHAND if name in {STABLEHAND, _PINNED_OURS} else PLAIN
    core = cores.server if name in {PINNED, _PINNED_OURS} else None
    with contestants.running(server, setup, core=core) as running:
        return load(running, f"{name}, gthread 1 × {setup.threads}", core=cores.load, seconds=seconds)
