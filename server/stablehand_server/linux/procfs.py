"""What Linux reports about processes and memory in /proc: pure parsers, and readers that return None if it is gone."""

from __future__ import annotations

import os
from typing import NamedTuple

_PROC = "/proc"
_LONGEST_BYTES = 4096  # none of these files is longer
_NANOSECONDS = 1e9
_SECONDS_PER_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_BYTES_PER_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024


class ProcessTimes(NamedTuple):
    """From /proc/PID/stat: the parent's process id, and the CPU seconds of all threads, ended ones too.

    `ended_children_seconds` is that of the child processes for whose end it has waited, and of theirs.
    """

    parent: int
    user_seconds: float
    system_seconds: float
    ended_children_seconds: float = 0.0

    @property
    def with_ended_children(self) -> float:
        """The CPU seconds of the process and of those that ended before it."""
        return self.user_seconds + self.system_seconds + self.ended_children_seconds


def parse_stat(content: bytes) -> ProcessTimes:
    """Parse /proc/PID/stat (man 5 proc_pid_stat: ppid is field 4, utime 14, stime 15, cutime 16, cstime 17, in ticks).

    The name in parentheses may hold anything, parentheses and spaces too: fields count from the last one.

    Raises:
        ValueError: when the content is not valid.
    """
    fields = content[content.rindex(b")") + 1 :].split()
    try:
        parent, user, system = int(fields[1]), int(fields[11]), int(fields[12])
        ended = int(fields[13]) + int(fields[14])
    except IndexError:
        raise ValueError(f"/proc/PID/stat has only {len(fields)} fields after the name") from None
    return ProcessTimes(parent, user * _SECONDS_PER_TICK, system * _SECONDS_PER_TICK, ended * _SECONDS_PER_TICK)


def parse_schedstat(content: bytes) -> float:
    """Parse /proc/PID/task/TID/schedstat: return the seconds for which the thread was runnable without a core.

    The three numbers are nanoseconds on a core, nanoseconds waiting for one, and time slices
    (Documentation/scheduler/sched-stats.rst).

    Raises:
        ValueError: when the content is not valid.
    """
    _, waiting, _ = content.split()
    return int(waiting) / _NANOSECONDS


def parse_statm(content: bytes) -> int:
    """Parse /proc/PID/statm: return the resident bytes, its second field in pages.

    Raises:
        ValueError: when the content is not valid.
    """
    _, resident, *_ = content.split()
    return int(resident) * _BYTES_PER_PAGE


def parse_smaps_rollup(content: bytes) -> int:
    """Parse /proc/PID/smaps_rollup: return the proportional bytes (Pss).

    Raises:
        ValueError: when there is no such line.
    """
    return _bytes_by_name(content, b"Pss", "/proc/PID/smaps_rollup")


def parse_meminfo(content: bytes) -> int:
    """Parse /proc/meminfo (man 5 proc_meminfo): return the bytes that new processes could take without swapping.

    Raises:
        ValueError: when there is no line MemAvailable.
    """
    return _bytes_by_name(content, b"MemAvailable", "/proc/meminfo")


def _bytes_by_name(content: bytes, name: bytes, file: str) -> int:
    """Return the bytes of a line such as `Pss: 17 kB`.

    Raises:
        ValueError: when there is no such line.
    """
    for line in content.splitlines():
        if line.startswith(name + b":"):
            return int(line.split()[1]) * _KIB
    raise ValueError(f"{file} has no line {name.decode()}")


def process_times(pid: int) -> ProcessTimes | None:
    """Return the CPU seconds of a process, which may be a zombie."""
    content = _read(f"{_PROC}/{pid}/stat")
    return parse_stat(content) if content else None


def run_delays(pid: int) -> dict[int, float] | None:
    """Return the run delay of each running thread by its id, in seconds."""
    threads = _threads(pid)
    if not threads:
        return None
    delays = {}
    for thread in threads:
        content = _read(f"{_PROC}/{pid}/task/{thread}/schedstat")
        if content:
            delays[int(thread)] = parse_schedstat(content)
    return delays


def children(pid: int) -> list[int]:
    """Return the living child processes of a process; none where the kernel does not report them."""
    found = []
    for thread in _threads(pid):  # each has those that it has forked itself
        content = _read(f"{_PROC}/{pid}/task/{thread}/children")
        found += [int(child) for child in (content or b"").split()]
    return found


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory (RSS); None also for a process that has ended and holds none."""
    content = _read(f"{_PROC}/{pid}/statm")
    return (parse_statm(content) or None) if content else None


def proportional_bytes(pid: int) -> int | None:
    """Return the memory with shared pages divided (PSS): expensive, since the kernel walks every page.

    None if the kernel does not report it, or not to this user.
    """
    content = _read(f"{_PROC}/{pid}/smaps_rollup")
    return parse_smaps_rollup(content) if content else None


def available_bytes() -> int | None:
    """Return how many bytes the machine has left for new processes; None if the kernel does not report it."""
    content = _read(f"{_PROC}/meminfo")
    return parse_meminfo(content) if content else None


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"{_PROC}/{pid}/task")  # noqa: PTH208 (paths as objects take half of a scrape's time)
    except OSError:
        return []


def _read(path: str) -> bytes | None:
    # A process may end before the file is opened (ENOENT) or before it is read (ESRCH); one of another user gives
    # EACCES. In each case there is no value, and the scrape continues.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _LONGEST_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
