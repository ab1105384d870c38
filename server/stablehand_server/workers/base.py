"""What every worker class has in common here: its record in the shared mapping, and a word about a failed boot."""

from __future__ import annotations

import dataclasses
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from gunicorn.workers.base import Worker

from stablehand_server import blocking_modules
from stablehand_server.instrument import InstrumentedApp, RequestRecorder
from stablehand_server.slots import Cell

if TYPE_CHECKING:
    from gunicorn.config import Config

    from stablehand_server.slots import Record

# How long a retiring worker keeps an idle connection open for a request that its client may be sending already.
RETIRE_LINGER_SECONDS = 5.0
# How long a new connection may stay silent before its first request.
FIRST_REQUEST_SECONDS = 5.0
_SECONDS_BETWEEN_MODULE_CHECKS = 5.0
_LAG_WEIGHT = 0.1  # of the newest of the timer's ticks: with ten a second the lag is a mean over about a second
LAG_TICK_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the master gives a worker to take with it: its place."""

    index: int
    generation: int
    record: Record


class MeasuredWorker(Worker):
    """A mixin that goes before one of gunicorn's worker classes."""

    def __init__(self, *args: Any, assignment: Assignment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.assignment = assignment
        self._cells = assignment.record.cells
        self._next_module_check = 0.0
        # What the master notes of its worker.
        self.spawned_at = time.monotonic()
        self.ready = False
        self.retiring_since: float | None = None
        self.told_to_retire_at = 0.0
        self.aborted_at = 0.0

    @classmethod
    def slots(cls, config: Config) -> int:  # noqa: ARG003 (other classes count threads or connections)
        """Return how many requests one worker serves at once."""
        return 1

    def init_process(self) -> None:
        """Boot and serve; leave in the record why a boot failed, or that the end came of max_requests."""
        try:
            super().init_process()
        except BaseException as error:
            if not self.booted:
                self.assignment.record.failure = traceback.format_exception_only(error)[-1].strip()
            raise
        finally:
            self._cells[Cell.REACHED_MAX_REQUESTS] = float(self.nr >= self.max_requests)

    def load_wsgi(self) -> None:
        """Load the app, and measure it."""
        super().load_wsgi()
        app = getattr(self, "wsgi", None)  # an ASGI worker has none
        if app is not None:
            already_handled = getattr(self, "is_already_handled", lambda _: False)
            self.wsgi = InstrumentedApp(app, RequestRecorder(self._cells), already_handled)

    def notify(self) -> None:
        """Beat, and look now and then which modules the app has loaded."""
        super().notify()
        now = time.monotonic()
        if now >= self._next_module_check:
            self._next_module_check = now + _SECONDS_BETWEEN_MODULE_CHECKS
            self._cells[Cell.BLOCKING_MODULES] = float(blocking_modules.loaded(sys.modules))

    def note_connections(self, count: int) -> None:
        """Publish how many client connections are open."""
        self._cells[Cell.CONNECTIONS] = float(count)

    def note_lag(self, seconds: float) -> None:
        """Publish how late a periodic timer fired, smoothed over about a second."""
        self._cells[Cell.LAG_SECONDS] += (max(0.0, seconds) - self._cells[Cell.LAG_SECONDS]) * _LAG_WEIGHT

    def linger_seconds(self) -> float:
        """Return how long this worker, when it retires, waits for requests that are on their way."""
        return min(RETIRE_LINGER_SECONDS, float(self.cfg.graceful_timeout) / 2.0)
