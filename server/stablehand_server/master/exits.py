"""Why a worker ended: one of the reasons of the metrics' contract, from what the master knows of it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from stablehand_server.shared_memory import Cell

if TYPE_CHECKING:
    from stablehand_server.linux.cgroup import Cgroup
    from stablehand_server.workers.common.base import MeasuredWorker


def reason(  # noqa: PLR0911 (one line a reason, in the order in which they count)
    worker: MeasuredWorker, status: int, *, out_of_memory: bool
) -> str:
    """Return the reason for the exit counter; `status` is waitpid's."""
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if out_of_memory and killed_by == signal.SIGKILL:
        return "oom"
    if worker.aborted:
        return "timeout"
    retiring = worker.retiring_since is not None
    if worker.assignment.record.cells[Cell.REACHED_MAX_REQUESTS] and (retiring or killed_by is None):
        return "max_requests"
    if retiring:
        return "retired"
    if not worker.ready:
        return "boot_failure"
    if killed_by is not None:
        return "signal"
    return "error" if os.waitstatus_to_exitcode(status) else "retired"


def in_words(status: int) -> str:
    """Describe waitpid's status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        known = {each.value for each in signal.Signals}
        return f"was killed by {signal.Signals(number).name if number in known else f'signal {number}'}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"


def as_gunicorn_says(status: int, reason: str) -> str:
    """Describe a worker's exit in the words of gunicorn's log, which alerts may match."""
    if not os.WIFSIGNALED(status):
        return f"{in_words(status)}."
    words = in_words(status).replace("was killed by", "was sent") + "!"
    if reason == "oom":
        return f"{words} Out of memory."
    doubtful = os.WTERMSIG(status) == signal.SIGKILL and reason != "timeout"
    return f"{words} Perhaps out of memory?" if doubtful else words


class OutOfMemoryKills:
    """The kernel's count of processes of the cgroup that it killed for lack of memory."""

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self._seen = cgroup.out_of_memory_kills()

    def since_last_call(self) -> int:
        """Return by how much the count has grown since the last call."""
        before, self._seen = self._seen, self._cgroup.out_of_memory_kills()
        return max(0, self._seen - before)
