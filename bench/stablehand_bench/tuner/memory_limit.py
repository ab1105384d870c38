"""A cgroup with a memory limit for one server, of version 1 or 2; it needs root, or a cgroup that is one's own."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench.errors import BenchError
from stablehand_server.linux import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20
_GONE_SECONDS = 20.0
_FILES = {1: ("memory.limit_in_bytes", "memory.oom_control"), 2: ("memory.max", "memory.events")}


class NoCgroup(BenchError):  # noqa: N818 (the reason stands in a table)
    """This machine, or this user, cannot limit memory; the text says why."""


class Limit(NamedTuple):
    """A cgroup that is there; `events` is the file in which the kernel counts."""

    directory: Path
    events: Path

    def within(self, command: list[str]) -> list[str]:
        """Return a command that runs another one in the cgroup."""
        return ["sh", "-c", f'echo $$ > "{self.directory / "cgroup.procs"}" && exec "$@"', "sh", *command]

    def kills(self) -> int:
        """Return how many of its processes, whichever, the kernel has killed because it was out of memory."""
        return killed(self.events.read_text())


def killed(events: str) -> int:
    """Return the count of `memory.events` (version 2) or `memory.oom_control` (version 1)."""
    counts = dict(line.split() for line in events.splitlines())
    return int(counts.get("oom_kill", 0))


@contextlib.contextmanager
def limited(mib: int) -> Iterator[Limit]:
    """Make a cgroup, yield it, and take it away with the block.

    Raises:
        NoCgroup: when it cannot be made.
    """
    found = cgroup.find(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    hierarchy = found.get("memory") or found.get("")
    if hierarchy is None:
        raise NoCgroup("no memory cgroup is mounted")
    directory = hierarchy.own / f"stablehand-bench-{os.getpid()}"
    names = (
        ("memory.limit_in_bytes", "memory.oom_control") if hierarchy.version == 1 else ("memory.max", "memory.events")
    )
    limit, events = (directory / name for name in names)
    try:
        directory.mkdir()
    except OSError as error:
        raise NoCgroup(f"no cgroup can be made: {error.strerror}") from error
    try:
        if not limit.exists():
            raise NoCgroup("the memory controller is not switched on below this cgroup")
        limit.write_text(str(mib * _MIB))
        yield Limit(directory, events)
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while (directory / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    directory.rmdir()  # an error names it, if a process has stayed
