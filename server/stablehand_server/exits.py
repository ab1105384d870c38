"""Why a worker ended: one of the reasons of the metrics' contract, from what the master knows of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_server.slots import Cell

if TYPE_CHECKING:
    from stablehand_server.workers.base import MeasuredWorker

# The kernel counts the processes that it killed for want of memory: cgroup v2, then v1.
_OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def reason(  # noqa: PLR0911 (one line a reason, in the order in which they count)
    worker: MeasuredWorker, status: int, *, out_of_memory: bool
) -> str:
    """Return the reason for the exit counter; `status` is waitpid's."""
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if out_of_memory and killed_by == signal.SIGKILL:
        return "oom"
    if worker.aborted:
        return "timeout"
    if worker.retiring_since is not None:
        return "retired"
    if not worker.ready:
        return "boot_failure"
    if worker.assignment.record.cells[Cell.REACHED_MAX_REQUESTS]:
        return "max_requests"
    if killed_by is not None:
        return "signal"
    return "error" if os.waitstatus_to_exitcode(status) else "retired"


def in_words(status: int) -> str:
    """Return waitpid's status for a person."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        known = {each.value for each in signal.Signals}
        return f"was killed by {signal.Signals(number).name if number in known else f'signal {number}'}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"


class OutOfMemoryKills:
    """The cgroup's count of processes killed for want of memory."""

    def __init__(self) -> None:
        self._seen = self._read()

    def happened(self) -> bool:
        """Tell whether the count has grown since the last call."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    @staticmethod
    def _read() -> int:
        for path in _OOM_COUNTERS:
            try:
                content = Path(path).read_text(encoding="ascii")
            except OSError:
                continue  # another version of cgroups, or none
            for line in content.splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0
