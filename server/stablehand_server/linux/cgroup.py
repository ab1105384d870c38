"""What the cgroup gives to this process: limits of CPU and memory, and how long it was throttled; version 1 and 2.

Limits hold for everything below, so the tightest one between the process's own cgroup and the top of what is mounted
counts.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as the largest multiple of a page
_MICROSECONDS = 1e6
_NANOSECONDS = 1e9
_V1_CONTROLLERS = ("cpu", "memory")


class _MemoryFiles(NamedTuple):
    """The files of a version: limit, usage, what has happened; and the name in memory.stat of droppable file pages."""

    limit: str
    usage: str
    events: str
    droppable: str


_MEMORY_FILES = {
    1: _MemoryFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "total_inactive_file"),
    2: _MemoryFiles("memory.max", "memory.current", "memory.events", "inactive_file"),
}


@dataclasses.dataclass(frozen=True)
class Grant:
    """What the cgroup gives: cores and bytes, None without a limit, and the seconds for which it was throttled."""

    cores: float | None
    memory_bytes: float | None
    throttled_seconds: float


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """Where one hierarchy of cgroups is mounted, and the process's own directory in it."""

    top: Path
    own: Path
    version: int

    def upwards(self) -> Iterator[Path]:
        """Yield the directories from the process's own one up to the top."""
        directory = self.own
        yield directory
        while directory != self.top:
            directory = directory.parent
            yield directory


def find(cgroup: str, mountinfo: str) -> dict[str, Hierarchy]:
    """Find the hierarchies of the controllers cpu and memory.

    Args:
        cgroup: the text of /proc/self/cgroup (man 7 cgroups): `id:controllers:path`, of version 2 `0::path`.
        mountinfo: the text of /proc/self/mountinfo (man 5 proc_pid_mountinfo).

    Returns:
        By "cpu" and "memory" that controller's hierarchy of version 1, by "" the one of version 2; what is not mounted
        is missing.
    """
    paths: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        root, point = mount.split()[3:5]
        kind, _, options = source.split(" ", 2)
        if kind == "cgroup2":
            controllers_here = [""]
        elif kind == "cgroup":
            controllers_here = [name for name in _V1_CONTROLLERS if name in options.split(",")]
        else:
            continue
        for controller in controllers_here:
            if controller in paths and controller not in found:
                top = Path(_unescaped(point))
                own = top / _below(paths[controller], _unescaped(root))
                found[controller] = Hierarchy(top, own, version=1 if controller else 2)
    return found


def _below(path: str, root: str) -> PurePosixPath:
    """Return a cgroup's path below the one that is mounted; a container may see a path that it does not mount."""
    if ".." in PurePosixPath(path).parts or not PurePosixPath(path).is_relative_to(root):
        return PurePosixPath()
    return PurePosixPath(path).relative_to(root)


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


class Cgroup:
    """This process's cgroup, found once; its values are read anew each time."""

    def __init__(self, hierarchies: dict[str, Hierarchy]) -> None:
        # Where both versions are mounted, the controller belongs to the first that names it.
        unified = hierarchies.get("")
        self._cpu = hierarchies.get("cpu", unified)
        self._memory = hierarchies.get("memory", unified)

    @classmethod
    def of_this_process(cls) -> Cgroup:
        """Find it; a system without cgroups has one that grants everything."""
        try:
            return cls(find(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()))
        except (OSError, ValueError):
            return cls({})

    def read(self) -> Grant:
        """Return what is granted now."""
        cores, throttled = self._cpu_grant()
        return Grant(cores, self._memory_grant(), throttled)

    def memory_headroom_bytes(self) -> float | None:
        """Return what may still be taken below the tightest limit; None without a limit, or where usage is not told.

        File pages that were not used lately do not count as taken: the kernel drops them when it needs room.
        """
        if self._memory is None:
            return None
        names = _MEMORY_FILES[self._memory.version]
        left = []
        for directory in self._memory.upwards():
            limit, usage = _number(_read(directory / names.limit)), _number(_read(directory / names.usage))
            if limit is not None and usage is not None and limit < _UNLIMITED_BYTES:
                left.append(limit - usage + _field(directory / "memory.stat", names.droppable))
        return min(left, default=None)

    def out_of_memory_kills(self) -> int:
        """Return how many processes of this cgroup the kernel has killed for want of memory; 0 where it is not told."""
        if self._memory is None:
            return 0
        return int(_field(self._memory.own / _MEMORY_FILES[self._memory.version].events, "oom_kill"))

    def _cpu_grant(self) -> tuple[float | None, float]:
        if self._cpu is None:
            return None, 0.0
        tightest, throttled_at = None, self._cpu.own
        for directory in self._cpu.upwards():
            cores = _cores(directory, self._cpu.version)
            if cores is not None and (tightest is None or cores < tightest):
                # throttling is counted where the limit is
                tightest, throttled_at = cores, directory
        return tightest, _throttled_seconds(throttled_at, self._cpu.version)

    def _memory_grant(self) -> float | None:
        if self._memory is None:
            return None
        name = _MEMORY_FILES[self._memory.version].limit
        limits = (_number(_read(directory / name)) for directory in self._memory.upwards())
        return min((limit for limit in limits if limit is not None and limit < _UNLIMITED_BYTES), default=None)


def cpu_count() -> int:
    """Return how many cores this process may run on, limit or not."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cores(directory: Path, version: int) -> float | None:
    if version == 1:
        quota, period = _number(_read(directory / "cpu.cfs_quota_us")), _number(_read(directory / "cpu.cfs_period_us"))
    else:
        fields = _read(directory / "cpu.max").split()
        quota, period = (_number(fields[0]), _number(fields[1])) if len(fields) > 1 else (None, None)
    return quota / period if quota is not None and quota > 0 and period else None


def _throttled_seconds(directory: Path, version: int) -> float:
    name, unit = ("throttled_time", _NANOSECONDS) if version == 1 else ("throttled_usec", _MICROSECONDS)
    return _field(directory / "cpu.stat", name) / unit


def _field(path: Path, name: str) -> float:
    """Return the number behind a name in a file of lines `name number`; 0 where it is missing."""
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value) or 0.0
    return 0.0


def _number(text: str) -> float | None:
    """Read a whole number; "max" and an empty text are none."""
    text = text.strip()
    return float(text) if text.removeprefix("-").isdigit() else None


def _read(path: Path) -> str:
    # The top of a hierarchy lacks most files, and a container may hide others: what is not there limits nothing.
    try:
        return path.read_text()
    except OSError:
        return ""
