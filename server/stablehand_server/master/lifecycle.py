"""A worker's lifecycle as seen by the master: it boots, is ready at its first heartbeat, retires, must exit in time."""

from __future__ import annotations

import math
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from stablehand_server.master.rolling_plan import LivingWorker
from stablehand_server.shared_memory import Cell, Overdue, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_server.workers.common.base import MeasuredWorker

GRACE_MARGIN_SECONDS = 2.0  # after its grace, for a worker's exit: hooks, atexit, ASGI's lifespan
_SECONDS_BETWEEN_SIGNALS = 1.0
# From the end of the workers' grace until all of them have exited.
LAST_SECONDS = GRACE_MARGIN_SECONDS + _SECONDS_BETWEEN_SIGNALS
LONG_REQUEST_SECONDS = 5.0  # such a request may just as well take hours
_SECONDS_AFTER_LINGERING = 1.0  # by then idle connections are closed: only requests or websockets are left
_ABANDONED_BOOT_SECONDS = 2.0  # for a worker that is told to exit before its first heartbeat


class TimeLimits(NamedTuple):
    """For how many seconds a worker may boot, and go without a heartbeat; 0 means no limit."""

    boot: float
    timeout: float


def state(worker: MeasuredWorker) -> State:
    """Return the worker's state."""
    if worker.retiring_since is not None:
        return State.RETIRING
    return State.READY if worker.ready else State.BOOTING


def index(worker: MeasuredWorker) -> int:
    """Return the index that the worker counts for now: when workers become fewer, it may take over another one's."""
    return int(worker.assignment.record.cells[Cell.INDEX])


def living(workers: Mapping[int, MeasuredWorker]) -> list[LivingWorker]:
    """Return what the plan needs to know of the workers, given by their process ids."""
    now = time.monotonic()
    return [
        LivingWorker(
            pid,
            index(worker),
            worker.assignment.generation,
            state(worker),
            worker.age,
            spent=_is_spent(worker.assignment.record.cells),
            long=_has_long_request(worker, now),
            kept=_is_kept(worker, now),
            superseded=worker.superseded,
        )
        for pid, worker in workers.items()
    ]


def serves(worker: MeasuredWorker, now: float) -> bool:
    """Return whether the worker has sent a heartbeat, noted or not: it may be answering requests."""
    # The file's time is the wall clock's until the worker's first heartbeat, in its own loop. One whose boot was
    # aborted may get that far, if its app caught the SystemExit; it serves nothing.
    return worker.ready or (not worker.aborted and worker.tmp.last_update() <= now)


def _has_long_request(worker: MeasuredWorker, now: float) -> bool:
    cells = worker.assignment.record.cells
    since = cells[Cell.OLDEST_REQUEST_SINCE]
    return bool(cells[Cell.BUSY] and since) and now - since > LONG_REQUEST_SECONDS


def _is_kept(worker: MeasuredWorker, now: float) -> bool:
    if worker.retiring_since is None:
        return False
    idle_until = worker.retiring_since + worker.linger_seconds() + _SECONDS_AFTER_LINGERING
    return now > idle_until or _has_long_request(worker, now)


def note_first_heartbeat(worker: MeasuredWorker) -> bool:
    """Return whether the worker has sent its first heartbeat since the last call; if so, it is ready."""
    if worker.ready or not serves(worker, time.monotonic()):
        return False
    worker.ready = True
    if worker.retiring_since is None:
        worker.assignment.record.cells[Cell.STATE] = State.READY
    return True


def note_retirement(worker: MeasuredWorker, until: float) -> None:
    """Note that the worker is told to finish its requests and exit.

    Args:
        worker: one that serves, or that already retires: then the earlier deadline applies.
        until: when it must have finished, on time.monotonic()'s clock; infinity for no limit.
    """
    cells = worker.assignment.record.cells
    cells[Cell.RETIRE_BY] = min(until, cells[Cell.RETIRE_BY] or until)
    if worker.retiring_since is None:
        worker.retiring_since = time.monotonic()
        cells[Cell.STATE] = State.RETIRING
        cells[Cell.TOLD_TO_RETIRE] = 1.0


def retires_untold(worker: MeasuredWorker) -> bool:
    """Return whether the worker stopped accepting without the master: another process or the app signalled it."""
    return worker.ready and worker.retiring_since is None and bool(worker.assignment.record.cells[Cell.RETIRES])


def overstays(worker: MeasuredWorker, now: float) -> bool:
    """Return whether the worker still runs although the time for its exit is over."""
    return worker.retiring_since is not None and now > _retire_by(worker) + GRACE_MARGIN_SECONDS


def note_signal(worker: MeasuredWorker) -> None:
    """Note that the worker is signalled to end; before its first heartbeat it may have no handler for that yet."""
    worker.signalled, worker.signalled_early = True, not serves(worker, time.monotonic())


def knows_its_end(worker: MeasuredWorker) -> bool:
    """Return whether the worker has been signalled to end in a way that it cannot have missed, or retires already.

    Then SIGTERM must not come again: asyncio gives the signal back its default, death, before the worker's exit, and an
    app's own handler may take a second one for the order to drop everything.
    """
    return bool(worker.assignment.record.cells[Cell.RETIRES]) or (worker.signalled and not worker.signalled_early)


def signal_due(worker: MeasuredWorker, limits: TimeLimits, now: float) -> signal.Signals | None:
    """Return the signal to send to a worker that takes too long, or None.

    SIGABRT and, a little later, SIGKILL end one that sends no heartbeat, hangs while it boots, or takes too long to
    retire.

    SIGTERM is sent a second time only where the first may have arrived before the worker had its handlers, and only to
    a custom class: all others read in their record that they are to retire, once they have their handlers and at each
    heartbeat, whatever has become of the signal.
    """
    if _is_overdue(worker, limits, now):
        if not worker.aborted and not worker.overstays:
            return signal.SIGABRT
        return signal.SIGKILL if now - worker.aborted_at > _SECONDS_BETWEEN_SIGNALS else None
    if worker.retiring_since is None:
        return None
    # It has accepted nothing, and never will: once told to retire, no class accepts. So no request is lost.
    if not serves(worker, now) and now - worker.retiring_since > _ABANDONED_BOOT_SECONDS:
        return signal.SIGKILL
    reads = worker.assignment.record.cells[Cell.WORKER_CLASS] >= 0
    missed = worker.signalled_early and serves(worker, now) and not knows_its_end(worker)
    return signal.SIGTERM if missed and not reads else None


def _is_spent(cells: memoryview[float]) -> bool:
    return bool(cells[Cell.REACHED_MAX_REQUESTS] or cells[Cell.OVERDUE])


def _is_overdue(worker: MeasuredWorker, limits: TimeLimits, now: float) -> bool:
    if overstays(worker, now):
        return True
    if not worker.ready:
        return bool(limits.boot) and now - worker.spawned_at > limits.boot
    if worker.retiring_since is not None and worker.assignment.record.cells[Cell.OVERDUE] == Overdue.ONLY:
        return True
    return bool(limits.timeout) and now - worker.tmp.last_update() > limits.timeout


def _retire_by(worker: MeasuredWorker) -> float:
    return worker.assignment.record.cells[Cell.RETIRE_BY] or math.inf
