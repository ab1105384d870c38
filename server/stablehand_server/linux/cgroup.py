"""The resources that the cgroup grants: limits of CPU and memory, and how long it was throttled; versions 1 and 2.

Limits apply to everything below, so the tightest one between the process's own cgroup and the top of what is mounted
counts.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as the largest multiple of a page
_MICROSECONDS = 1e6
_NANOSECONDS = 1e9
_V1_CONTROLLERS = ("cpu", "memory")
_DESCRIPTIONS = ("/proc/self/cgroup", "/proc/self/mountinfo")
_FIELDS_OF_A_MOUNT = 6  # before the optional ones


class _MemoryFiles(NamedTuple):
    """The files of a version: limits, usage, events; and the name in memory.stat of file pages that can be dropped.

    Version 2 slows down processes above memory.high until they are useless: for a server that is a limit, too.
    """

    limits: tuple[str, ...]
    usage: str
    events: str
    droppable: str


_MEMORY_FILES = {
    1: _MemoryFiles(("memory.limit_in_bytes",), "memory.usage_in_bytes", "memory.oom_control", "total_inactive_file"),
    2: _MemoryFiles(("memory.max", "memory.high"), "memory.current", "memory.events", "inactive_file"),
}


@dataclasses.dataclass(frozen=True)
class Grant:
    """What the cgroup grants: cores and bytes, None without a limit, and the seconds for which it was throttled."""

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


class _Mount(NamedTuple):
    """A mounted hierarchy: which cgroup of it is mounted, where, and which of our controllers it has."""

    root: PurePosixPath
    point: Path
    controllers: tuple[str, ...]


def find(
    cgroup: str, mountinfo: str, locate: Callable[[Path, int, PurePosixPath], Path | None] = lambda *_: None
) -> dict[str, Hierarchy]:
    """Find the hierarchies of the controllers cpu and memory.

    Args:
        cgroup: the text of /proc/self/cgroup (man 7 cgroups): `id:controllers:path`, of version 2 `0::path`.
        mountinfo: the text of /proc/self/mountinfo (man 5 proc_pid_mountinfo).
        locate: returns the process's own directory, which is some levels of unknown names and then a known path below
            a mount point; None if it does not exist.

    Returns:
        "cpu" and "memory" map to that controller's hierarchy of version 1, "" to the one of version 2; what is not
        mounted is missing. Of several mounts of one hierarchy, the one that has our cgroup below it is used, with as
        much of what is above our cgroup as possible.
    """
    paths = _paths(cgroup)
    found: dict[str, Hierarchy] = {}
    shown: dict[str, int] = {}
    for mount in _mounts(mountinfo):
        for controller in mount.controllers:
            if controller not in paths:
                continue
            own = _own(mount, paths[controller], locate)
            levels = -1 if own is None else len(own.relative_to(mount.point).parts)
            if controller not in found or levels > shown[controller]:
                # if none has it, the limits of the first are better than none: we may be below it
                found[controller] = Hierarchy(mount.point, own or mount.point, version=1 if controller else 2)
                shown[controller] = levels
    return found


def _own(mount: _Mount, path: PurePosixPath, locate: Callable[[Path, int, PurePosixPath], Path | None]) -> Path | None:
    """Return the directory of a cgroup below a mount, or None if it does not exist.

    In a cgroup namespace both paths begin at the namespace's root, and lead out of it by `..`: below a mount of `/..`
    the cgroup `/` has a name that the namespace does not show.
    """
    root, own = list(mount.root.parts), list(path.parts)
    while root and own and root[0] == own[0]:
        del root[0], own[0]
    if ".." in own or any(part != ".." for part in root):
        return None
    below = PurePosixPath(*own)
    return locate(mount.point, len(root), below) if root else mount.point / below


def _locate(point: Path, levels: int, below: PurePosixPath) -> Path | None:
    """Return the directory at a path so many levels below a mount point that contains this process."""
    own = str(os.getpid())
    candidates = (each / below for each in point.glob("/".join(["*"] * levels)))
    return next((each for each in candidates if own in _read(each / "cgroup.procs").split()), None)


def _paths(cgroup: str) -> dict[str, PurePosixPath]:
    """Return the process's own path by controller; an invalid line, such as the rest of a name, is skipped."""
    paths = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number.isdigit() and path.startswith("/"):
            paths.update(dict.fromkeys(controllers.split(","), PurePosixPath(path)))
    return paths


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """Return the mounted hierarchies; of those at one mount point only the last, which hides the others."""
    by_point: dict[Path, _Mount | None] = {}
    for line in mountinfo.splitlines():
        # "id parent major:minor root point options [tag...] - type source options": source and options may be empty
        mount, _, source = line.partition(" - ")
        fields, (kind, *described) = mount.split(" "), source.split(" ")
        if len(fields) < _FIELDS_OF_A_MOUNT:
            continue
        root, point = (_unescaped(each) for each in fields[3:5])
        options = described[-1].split(",") if described else []
        by_point.pop(Path(point), None)
        by_point[Path(point)] = None
        if kind == "cgroup2":
            by_point[Path(point)] = _Mount(PurePosixPath(root), Path(point), ("",))
        elif kind == "cgroup":
            controllers = tuple(name for name in _V1_CONTROLLERS if name in options)
            by_point[Path(point)] = _Mount(PurePosixPath(root), Path(point), controllers)
    return (mount for mount in by_point.values() if mount is not None)


def _unescaped(path: str) -> str:
    r"""Return a path of mountinfo, in which white space, backslashes and `#` are octal, such as `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), path)


class Cgroup:
    """This process's cgroup, found once; its values are read each time."""

    def __init__(self, hierarchies: dict[str, Hierarchy]) -> None:
        # Where both versions are mounted, the controller belongs to the first that names it.
        unified = hierarchies.get("")
        self._cpu = hierarchies.get("cpu", unified)
        self._memory = hierarchies.get("memory", unified)

    @classmethod
    def of_this_process(cls) -> Cgroup:
        """Find it; a system without cgroups has one that grants everything."""
        try:
            # a name may be of any bytes
            cgroup, mountinfo = (Path(each).read_text(errors="surrogateescape") for each in _DESCRIPTIONS)
        except OSError:
            return cls({})
        return cls(find(cgroup, mountinfo, _locate))

    def read(self) -> Grant:
        """Return what is granted now."""
        cores, throttled = self._cpu_grant()
        return Grant(cores, self._memory_grant(), throttled)

    def memory_headroom_bytes(self) -> float | None:
        """Return the bytes left below the tightest limit; None without a limit, or if usage is unknown.

        File pages that were not used recently do not count as used: the kernel drops them when it needs memory.
        """
        if self._memory is None:
            return None
        names = _MEMORY_FILES[self._memory.version]
        left = []
        for directory in self._memory.upwards():
            limit, usage = _memory_limit(directory, names), _number(_read(directory / names.usage))
            if limit is not None and usage is not None:
                left.append(limit - usage + _field(directory / "memory.stat", names.droppable))
        return min(left, default=None)

    def out_of_memory_kills(self) -> int:
        """Return how many processes of this cgroup the kernel has killed because it was out of memory; 0 if unknown."""
        if self._memory is None:
            return 0
        return int(_field(self._memory.own / _MEMORY_FILES[self._memory.version].events, "oom_kill"))

    def kills_together(self) -> Path | None:
        """Return the cgroup of which the kernel kills every process when memory runs out; None if it kills one alone.

        It is this process's own or one above it, and has memory.oom.group set, as the kubelet does for containers since
        Kubernetes 1.28. Version 1 has no such setting.
        """
        if self._memory is None or self._memory.version == 1:
            return None
        marked = (each for each in self._memory.upwards() if _read(each / "memory.oom.group").strip() == "1")
        return next(marked, None)

    def out_of_memory_record(self) -> dict[str, int]:
        """Return how many processes were killed for lack of memory: in this cgroup, and in all below its parent.

        The parent's count outlives this cgroup, which a container manager recreates for each start; inside a container
        it is rarely visible. Unknown counts are missing.
        """
        if self._memory is None:
            return {}
        directories = [self._memory.own]
        if self._memory.own != self._memory.top and self._memory.version != 1:  # there only the own ones are counted
            directories.append(self._memory.own.parent)
        name = _MEMORY_FILES[self._memory.version].events
        told = ((each, _read(each / name)) for each in directories)
        return {str(each): int(_field(each / name, "oom_kill")) for each, text in told if "oom_kill " in text}

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
        names = _MEMORY_FILES[self._memory.version]
        limits = (_memory_limit(directory, names) for directory in self._memory.upwards())
        return min((limit for limit in limits if limit is not None), default=None)


def _memory_limit(directory: Path, names: _MemoryFiles) -> float | None:
    """Return the tightest of a cgroup's own limits of memory, in bytes."""
    limits = (_number(_read(directory / name)) for name in names.limits)
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
    # The top of a hierarchy lacks most files, and a container may hide others: a missing file sets no limit.
    try:
        return path.read_text()
    except OSError:
        return ""
