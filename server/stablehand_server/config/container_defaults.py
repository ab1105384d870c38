"""How many workers `auto` means: one for each core that this process may use, as far as memory allows.

Imported before gunicorn, which reads its own default from WEB_CONCURRENCY when it is imported and expects a number.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING, Any

from stablehand_server.linux.cgroup import Cgroup, cpu_count

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"
VARIABLE = "WEB_CONCURRENCY"
# An image's default. Other programs that run in it also read WEB_CONCURRENCY and do not understand "auto".
DEFAULT_VARIABLE = "STABLEHAND_WORKERS"
# A pod's default, which an older server ignores; a flag that it does not know would keep it from starting.
CONNECTION_LIFETIME_VARIABLE = "STABLEHAND_CONNECTION_LIFETIME"
# Set where WEB_CONCURRENCY said "auto" before its number replaced that, also for a second master (SIGUSR2).
_RESOLVED_VARIABLE = "STABLEHAND_WEB_CONCURRENCY"
# Without a limit it is unknown how much of the machine is meant for this server: do not start a hundred workers.
MOST_WITHOUT_CPU_LIMIT = 8
# What a worker with a typical framework uses; the real number is unknown until the app has been imported.
WORKER_BYTES = 128 * 1024**2
_MEBIBYTE = 1024**2


@dataclasses.dataclass(frozen=True)
class Resources:
    """What this process may use.

    `cores` and `memory_bytes` are the cgroup's limits where it sets any (`cores_limited`, `memory_limited`), otherwise
    what the machine has; `cores` is never more than the number of cores that the process may run on.
    """

    cores: float
    cores_limited: bool
    memory_bytes: float
    memory_limited: bool

    @property
    def workers(self) -> int:
        """Return the number of workers: one for each core, rounded up, at least one."""
        wanted = math.ceil(self.cores)
        if not self.cores_limited:
            wanted = min(wanted, MOST_WITHOUT_CPU_LIMIT)
        return max(1, min(wanted, int(self.memory_bytes // WORKER_BYTES)))

    def __str__(self) -> str:
        """Return what was found and where, for the log."""
        cores = "the cgroup's limit" if self.cores_limited else "the machine's, no limit"
        memory = "the cgroup's limit" if self.memory_limited else "the machine's, no limit"
        return f"{self.cores:g} cores ({cores}), {self.memory_bytes / _MEBIBYTE:.0f} MiB of memory ({memory})"


def found(limit_cores: float | None, limit_bytes: float | None, cores: int, memory_bytes: float) -> Resources:
    """Return the resources under the limits (None: no limit), given what the machine has for this process."""
    cores_limited = limit_cores is not None and limit_cores <= cores
    memory_limited = limit_bytes is not None and limit_bytes <= memory_bytes
    return Resources(
        cores=limit_cores if limit_cores is not None and cores_limited else float(cores),
        cores_limited=cores_limited,
        memory_bytes=limit_bytes if limit_bytes is not None and memory_limited else memory_bytes,
        memory_limited=memory_limited,
    )


def connection_lifetime() -> int:
    """Return the default of --connection-lifetime, seconds; 0 where the variable has no whole number."""
    value = os.environ.get(CONNECTION_LIFETIME_VARIABLE, "")
    return int(value) if value.isdecimal() else 0


def of_this_process() -> Resources:
    """Return what this process may use now."""
    grant = Cgroup.of_this_process().read()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found(grant.cores, grant.memory_bytes, cpu_count(), float(memory))


def warning_of_memory(cgroup: Cgroup) -> str | None:
    """Return a message for the log if running out of memory kills the whole server; None if it kills one worker."""
    together = cgroup.kills_together()
    if together is None:
        return None
    return (
        f"If memory runs out, the kernel kills every process of this container at once, including this server "
        f"(memory.oom.group is set for {together}): no worker can be replaced then, and the container has to be "
        "started again"
    )


def default_of_image() -> str | None:
    """Return the value of STABLEHAND_WORKERS, or None if it is not set or WEB_CONCURRENCY is."""
    return None if VARIABLE in os.environ else os.environ.get(DEFAULT_VARIABLE) or None


def is_auto(value: Any) -> bool:
    """Return whether a value of --workers or of a variable leaves the number to the server."""
    return isinstance(value, str) and value.strip().lower() == AUTO


def number_by_variable(environ: Mapping[str, str]) -> int | None:
    """Return the number of workers that a variable gives; None where none does, or one says `auto`."""
    if VARIABLE in environ:
        value = AUTO if _RESOLVED_VARIABLE in environ else environ[VARIABLE]
    else:
        value = environ.get(DEFAULT_VARIABLE, AUTO)
    return int(value) if _is_number(value) else None


def _is_number(value: str) -> bool:
    """Return whether gunicorn, which converts it with int(), would start with it."""
    try:
        return int(value) >= 0
    except ValueError:
        return False


def resolve_variable() -> None:
    """Replace `auto` in WEB_CONCURRENCY with the number that it means here.

    Raises:
        SystemExit: when it, or STABLEHAND_WORKERS, is neither a number nor `auto`, with a message on stderr.
    """
    for name, value in ((VARIABLE, os.environ.get(VARIABLE)), (DEFAULT_VARIABLE, default_of_image())):
        if value is not None and not is_auto(value) and not _is_number(value):
            raise SystemExit(f"Error: {name} is {value!r}, but must be a number of workers, or {AUTO}")
    if is_auto(os.environ.get(VARIABLE)):
        os.environ[VARIABLE] = str(of_this_process().workers)
        os.environ[_RESOLVED_VARIABLE] = AUTO
