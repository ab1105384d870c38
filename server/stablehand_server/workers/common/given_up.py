"""Whose SIGABRT it is that a worker gets: the master's, which sends SIGKILL a second later, or somebody else's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stablehand_server.shared_memory import Cell, Overdue

if TYPE_CHECKING:
    from stablehand_server.workers.common.base import MeasuredWorker


def is_given_up(worker: MeasuredWorker) -> bool:
    """Return whether the master has a reason to end a worker that serves by force; to be asked within it."""
    cells = worker.assignment.record.cells
    now = time.monotonic()
    if cells[Cell.OVERDUE] == Overdue.ONLY or (cells[Cell.RETIRE_BY] and now > cells[Cell.RETIRE_BY]):
        return True
    return bool(worker.cfg.timeout) and now - worker.tmp.last_update() > worker.cfg.timeout
