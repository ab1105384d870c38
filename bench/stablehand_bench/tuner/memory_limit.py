"""A cgroup with a memory limit for one server, of version 1 or 2; it needs root, or a cgroup that is one's own."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench.errors import BenchError
from stablehand_server.exporter import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20
_GONE_SECONDS = 20.0


class NoCgroup(BenchError):  # noqa: N818 (the reason stands in a table)
    """This machine, or this user, cannot limit memory; the text says why."""


@contextlib.contextmanager
def limited(mib: int) -> Iterator[list[str]]:
    """Make a cgroup, yield the command that puts what follows it in there, and take the cgroup away.

    Raises:
        NoCgroup: when it cannot be made.
    """
    found = cgroup.find(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    hierarchy = found.get("memory") or found.get("")
    if hierarchy is None:
        raise NoCgroup("no memory cgroup is mounted")
    directory = hierarchy.own / f"stablehand-bench-{os.getpid()}"
    limit = directory / ("memory.limit_in_bytes" if hierarchy.version == 1 else "memory.max")
    try:
        directory.mkdir()
    except OSError as error:
        raise NoCgroup(f"no cgroup can be made: {error.strerror}") from error
    try:
        if not limit.exists():
            raise NoCgroup("the memory controller is not switched on below this cgroup")
        limit.write_text(str(mib * _MIB))
        members = directory / "cgroup.procs"
        yield ["sh", "-c", f'echo $$ > "{members}" && exec "$@"', "sh"]
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while (directory / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    directory.rmdir()  # an error names it, if a process has stayed
