"""A worker's life as the master sees it: it boots, is ready at its first heartbeat, retires, and must end in time."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from stablehand_server.master.rolling_plan import LivingWorker, Phase
from stablehand_server.shared_memory import Cell, Overdue, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_server.workers.common.base import MeasuredWorker

_SECONDS_BETWEEN_SIGNALS = 1.0
_SECONDS_AFTER_GRACE = 2.0  # a worker ends itself after graceful_timeout; this much later it cannot
_ABANDONED_BOOT_SECONDS = 2.0  # for a worker that is told to go before its first heartbeat


class Patience(NamedTuple):
    """For how many seconds a worker may boot, finish what it has, and be without a heartbeat; 0 is for ever."""

    boot: float
    graceful: float
    timeout: float


def phase(worker: MeasuredWorker) -> Phase:
    """Return where the worker stands."""
    if worker.retiring_since is not None:
        return Phase.RETIRING
    return Phase.READY if worker.ready else Phase.BOOTING


def living(workers: Mapping[int, MeasuredWorker]) -> list[LivingWorker]:
    """Return what the plan needs to know of the workers, given by their process ids."""
    return [
        LivingWorker(
            pid,
            worker.assignment.index,
            worker.assignment.generation,
            phase(worker),
            worker.age,
            spent=_is_spent(worker.assignment.record.cells),
        )
        for pid, worker in workers.items()
    ]


def serves(worker: MeasuredWorker, now: float) -> bool:
    """Tell whether the worker has beaten, be that noted already or not: it may be answering requests."""
    # The file's time is the wall clock's until the worker beats for the first time, in its own loop. One whose boot was
    # aborted may come as far as that, if its app caught the SystemExit; it serves nothing.
    return worker.ready or (not worker.aborted and worker.tmp.last_update() <= now)


def note_first_heartbeat(worker: MeasuredWorker) -> bool:
    """Tell whether the worker has beaten for the first time since the last call; if so, it is ready."""
    if worker.ready or not serves(worker, time.monotonic()):
        return False
    worker.ready = True
    if worker.retiring_since is None:
        worker.assignment.record.cells[Cell.STATE] = State.READY
    return True


def note_retirement(worker: MeasuredWorker) -> None:
    """Note that the worker is told to finish what it has and go."""
    if worker.retiring_since is None:
        worker.retiring_since = worker.told_to_retire_at = time.monotonic()
        worker.assignment.record.cells[Cell.STATE] = State.RETIRING
        worker.assignment.record.cells[Cell.TOLD_TO_RETIRE] = 1.0


def signal_due(worker: MeasuredWorker, patience: Patience, now: float) -> signal.Signals | None:
    """Return the signal that a worker needs now that takes too long, or None.

    SIGABRT and, a little later, SIGKILL end one that does not beat, hangs while it boots, or does not come to an end;
    SIGTERM reminds one that retires: a signal that comes before a worker has its handlers is lost.
    """
    if _is_overdue(worker, patience, now):
        if not worker.aborted:
            return signal.SIGABRT
        return signal.SIGKILL if now - worker.aborted_at > _SECONDS_BETWEEN_SIGNALS else None
    if worker.retiring_since is None:
        return None
    # It has accepted nothing, and never will: once told to retire, no class accepts. So nobody loses a request.
    if not serves(worker, now) and now - worker.retiring_since > _ABANDONED_BOOT_SECONDS:
        return signal.SIGKILL
    return signal.SIGTERM if now - worker.told_to_retire_at > _SECONDS_BETWEEN_SIGNALS else None


def _is_spent(cells: memoryview[float]) -> bool:
    return bool(cells[Cell.REACHED_MAX_REQUESTS] or cells[Cell.OVERDUE])


def _is_overdue(worker: MeasuredWorker, patience: Patience, now: float) -> bool:
    if not worker.ready:
        return bool(patience.boot) and now - worker.spawned_at > patience.boot
    if worker.retiring_since is not None:
        if worker.assignment.record.cells[Cell.OVERDUE] == Overdue.ONLY:
            return True
        if now - worker.retiring_since > patience.graceful + _SECONDS_AFTER_GRACE:
            return True
    return bool(patience.timeout) and now - worker.tmp.last_update() > patience.timeout
