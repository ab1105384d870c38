"""Which cores the server may use, and which the load.

With three cores or more the load has one of its own. With two, both share both: a server on a single core would make
the number of processes, half of what is to be tuned, mean nothing. The load then takes the same time of every
contestant for the same request (wrk some 20 µs), so the faster one pays more of it; how much is measured and told.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_CORES_TO_SHARE = 2


class Placement(NamedTuple):
    """Numbers of cores."""

    server: tuple[int, ...]
    load: tuple[int, ...]

    @property
    def is_shared(self) -> bool:
        """Whether server and load use the same cores."""
        return self.server == self.load

    def describe(self) -> str:
        """Return a sentence for a page."""
        if self.is_shared:
            return f"server and load share {len(self.server)} cores"
        return f"the server has {len(self.server)} cores, the load another one"


def place(usable: tuple[int, ...]) -> Placement:
    """Divide the cores that may be used."""
    if len(usable) <= _CORES_TO_SHARE:
        return Placement(usable, usable)
    return Placement(usable[:-1], usable[-1:])


def here() -> Placement:
    """Divide the cores of this process."""
    return place(tuple(sorted(os.sched_getaffinity(0))))


def pinned(cores: tuple[int, ...], command: list[str]) -> list[str]:
    """Return a command that runs another one on these cores only."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
