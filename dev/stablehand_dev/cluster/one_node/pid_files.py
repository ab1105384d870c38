"""Pid files that name a process for certain: a pid alone is soon another process's.

A process is the same one if it has the pid, started at the same tick of the kernel's clock, and the machine has not
been restarted since.
"""

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# In /proc/PID/stat, counted from the state, which follows the parenthesised command name (see proc(5)).
_PARENT = 1
_STARTED = 19


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, never confused with a later one of the same pid.

    Attributes:
        pid: in the reader's PID namespace.
        started: ticks between the machine's boot and the process's start.
        boot: the kernel's id of this boot.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of a running process, or None if there is none of this pid (zombies count as none)."""
        fields = _stat(pid)
        if fields is None or fields[0] in {"Z", "X"}:
            return None
        return cls(pid, int(fields[_STARTED]), boot_id())

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def kill(self) -> None:
        """Kill exactly this process; nothing happens if it has ended, even if another one has its pid now."""
        # A pid file descriptor stays with the process: between check and signal, no other can take its place.
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)


def boot_id() -> str:
    """Return the kernel's id of the present boot."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and int(fields[_PARENT]) == pid:
                found.append(int(entry.name))
    return sorted(found)


def write(path: Path, identity: ProcessIdentity) -> None:
    """Write a pid file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(identity)), encoding="ascii")
    partial.rename(path)


def read(path: Path) -> ProcessIdentity | None:
    """Return the process that a pid file names, running or not; None without a file, or with one that says nothing."""
    try:
        return ProcessIdentity(**json.loads(path.read_text(encoding="ascii")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Corrupt: it names no process, so nothing may be killed because of it.
        return None


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on, or None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
