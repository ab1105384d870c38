"""What every worker class has in common here: its record in the shared mapping, and why a boot failed."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import resource
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

from stablehand_server.gunicorn_internals.master import Arbiter
from stablehand_server.gunicorn_internals.workers import AppImportError, Worker
from stablehand_server.linux import privileges
from stablehand_server.measure import access_log, blocking_modules, traits
from stablehand_server.measure.app_interface import Interface, interface_of
from stablehand_server.measure.app_runs import AppRuns
from stablehand_server.measure.early_imports import early_packages
from stablehand_server.measure.monkey_patches import MonkeyPatches
from stablehand_server.measure.pools import Pools
from stablehand_server.measure.recorder import RequestRecorder, UnlockedRecorder, note_oldest_request
from stablehand_server.measure.wsgi import InstrumentedApp
from stablehand_server.shared_memory import Cell, State
from stablehand_server.workers.common import app_forks, termination_handler
from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_server.gunicorn_internals.settings import Config
    from stablehand_server.measure.requests import RequestMeter
    from stablehand_server.shared_memory import Record

# How long a retiring worker keeps an idle connection open for a request that its client may be sending already.
RETIRE_LINGER_SECONDS = 5.0
# How long a new connection may stay silent before its first request: at least, and where gunicorn knows no limit.
FIRST_REQUEST_SECONDS = 5.0
LONGEST_SILENCE_SECONDS = 3600.0
HEADER_SECONDS = 30.0  # from a request's first byte to its last header
_SECONDS_BETWEEN_LOOKS = 0.25  # between looks at what the master wants; heartbeats are far more frequent under load
_SECONDS_BETWEEN_MODULE_CHECKS = 5.0
_LAG_WEIGHT = 0.1  # of the newest of the timer's ticks: with ten a second the lag is a mean over about a second
LAG_TICK_SECONDS = 0.1
NAP_SECONDS = 0.01
_CLASSES = list(WorkerClass)
# What may change while a worker serves, and the cell in which the master writes it.
IN_PLACE = {"threads": Cell.THREADS, "worker_connections": Cell.WORKER_CONNECTIONS}


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the master passes to a worker: its place.

    `foreign_listeners` are sockets of another generation, open in the master during a reload: a worker that kept them
    would hold an address at which no process answers.
    """

    index: int
    generation: int
    record: Record
    foreign_listeners: tuple[Any, ...] = ()


class MeasuredWorker(Worker):
    """A mixin for gunicorn's worker classes."""

    # gunicorn's own attributes, which have no types there
    max_requests: int
    wsgi: Any
    alive: bool
    aborted: bool
    # Which of threads and worker_connections this class adopts while it serves, when they have changed.
    changes_in_place: ClassVar[frozenset[str]] = frozenset()
    # Whether the class counts its requests in `nr`, so that the master learns of max_requests before the worker ends.
    announces_max_requests: ClassVar[bool] = True
    # Whether requests run in several threads: counting them then takes a lock.
    threaded: ClassVar[bool] = True
    # Whether the class itself runs asyncio's event loop.
    has_loop: ClassVar[bool] = False
    meter: RequestMeter | None = None  # of a class whose requests gunicorn's own code serves
    # Whether this process is no worker, but one that the app has forked from it.
    is_apps_child: bool = False

    def __init__(self, *args: Any, assignment: Assignment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.assignment = assignment
        self._cells = assignment.record.cells
        self._recorders: list[UnlockedRecorder] = []
        self._drops_privileges = False
        self._draining = False
        # gunicorn's loops end at max_requests, leaving a gap until the master has noticed and a successor has booted.
        # Here the worker reports that it has served enough, and continues until the master tells it to retire.
        self._requests_to_serve = self.max_requests
        if self.announces_max_requests:
            self.max_requests = sys.maxsize
        self._sizes = self._sizes_wanted()  # a hook of the user's may set others, until the master wants other ones
        self._index = -1  # the one that the access log has been told
        self._orphaned_at: float | None = None
        self._next_look = 0.0
        self._next_module_check = 0.0
        self.monkey_patches = MonkeyPatches(sys.modules)
        self._early: frozenset[str] = frozenset()
        # a custom class may patch, start threads and run a loop in its own way: of its app nothing is found out
        self._finds_out = self._cells[Cell.WORKER_CLASS] >= 0
        self._pools = Pools(sys.modules, self.log.warning)
        self._app_runs = AppRuns(sys.modules, watches_loops=self._finds_out and not self.has_loop)
        # What the master notes about the worker.
        self.spawned_at = time.monotonic()
        self.ready = False
        self.retiring_since: float | None = None
        self.signalled = False  # to end, by SIGTERM or SIGQUIT
        self.signalled_early = False  # before its first heartbeat
        self.superseded = False  # one too many, and serves until a newer one is ready
        self.overstays = False  # it retires, and was ended because its time was over
        self.aborted_at = 0.0

    @classmethod
    def slots(cls, config: Config) -> int:  # noqa: ARG003 (other classes count threads or connections)
        """Return how many requests one worker serves at once."""
        return 1

    def init_process(self) -> None:
        """Boot and serve; record why a boot failed, or that the exit is due to max_requests."""
        # A garbage collection writes to every object that it visits. Without it, the master's objects stay shared.
        gc.freeze()
        self._drops_privileges = privileges.drops(self.cfg)
        for listener in self.assignment.foreign_listeners:
            listener.close()
        self._take_up_index()
        app_forks.watch(self)
        self._early = early_packages(sys.modules)
        try:
            super().init_process()
        except BaseException as error:
            never_ready = not self.booted or not self._next_look  # without one heartbeat
            if never_ready and not self.assignment.record.failure:
                self.assignment.record.failure = traceback.format_exception_only(error)[-1].strip()
            raise
        finally:
            self._note_requests_served()
            self._note_children()

    def become_apps_child(self) -> None:
        """Let go of all that is the worker's, in a process that the app has just forked from it.

        Such a process goes on with a copy of this object: it returns from the app, or handles a signal.
        """
        self.is_apps_child = True
        self._cells = self.assignment.record.detach()
        self._cells[Cell.REACHED_MAX_REQUESTS] = 1.0  # nothing to be announced
        self._cells[Cell.ON_TRIAL] = 0.0
        for recorder in self._recorders:
            recorder.move(self._cells)
        self._next_look = math.inf  # at what the master wants of its worker
        self.tmp.notify = _beat_not

    def init_signals(self) -> None:
        """Set gunicorn's handlers; signals meant for the master do not end a worker.

        gunicorn leaves HUP and USR2 at their default, which terminates: a signal to the whole group, as sent by a
        closing terminal, would kill every worker. A handler that does nothing is used instead of SIG_IGN, because
        programs that the app starts do not inherit it.
        """
        super().init_signals()
        if self._drops_privileges and self.cfg.metrics_bind is not None:  # done since init_process began
            privileges.let_own_user_look()
        if self._cells[Cell.RETIRE_BY]:  # the signal came before there was a handler
            self.alive = False
            if self._cells[Cell.WORKER_CLASS] >= 0:  # others may not look at `alive`
                self._cells[Cell.RETIRES] = 1.0
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, _leave_to_the_master)
            signal.siginterrupt(number, False)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """SIGABRT: exit; remember it, in case an app catches the SystemExit while it is imported."""
        self.aborted = True
        super().handle_abort(sig, frame)

    def load_wsgi(self) -> None:
        """Load the app.

        Raises:
            SystemExit: when the boot was aborted, and the app has caught that.
        """
        self._app_runs.before_loading()
        super().load_wsgi()
        if self.aborted:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        self._app_runs.look_at_requests()
        self._find_pools()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: retire; the master learns that the signal has arrived."""
        self._cells[Cell.RETIRES] = 1.0
        super().handle_exit(sig, frame)

    def refuse_asgi(self) -> None:
        """Refuse an app that gunicorn's WSGI code cannot call.

        Raises:
            AppImportError: when it is an ASGI app.
        """
        if interface_of(self.wsgi) is not Interface.WSGI:
            raise AppImportError(
                f"the app is an ASGI app, which worker class {self.cfg.worker_class_str} cannot serve: use asgi"
            )

    def measured_wsgi(self) -> Callable[..., Any]:
        """Return a callable for servers other than gunicorn: it calls the current `wsgi`, and measures."""
        called = access_log.identified(self.call_app) if self.cfg.access_log_json else self.call_app
        return InstrumentedApp(called, self.recorder())

    def call_app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call the current `wsgi`."""
        return self.wsgi(environ, start_response)

    def recorder(self) -> UnlockedRecorder:
        """Return a new recorder of requests, as the class needs it."""
        return self._kept(RequestRecorder(self._cells) if self.threaded else UnlockedRecorder(self._cells))

    def unlocked_recorder(self) -> UnlockedRecorder:
        """Return a new recorder of requests that all run in the thread of the loop."""
        return self._kept(UnlockedRecorder(self._cells))

    def _kept(self, recorder: UnlockedRecorder) -> UnlockedRecorder:
        self._recorders.append(recorder)
        return recorder

    def notify(self) -> None:
        """Send a heartbeat, change or drain if the master asks, and at times check which modules the app has loaded."""
        super().notify()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _SECONDS_BETWEEN_LOOKS
        note_oldest_request(self._cells, now)
        self._retire_if_told()
        self._resize_if_wanted()
        self._take_up_index()
        self._note_requests_served()
        self._note_children()
        self._note_pools()
        if not self._draining and self._cells[Cell.STATE] == State.RETIRING:
            self._draining = True
            self.drain()
        share = self._cells[Cell.SHARE]
        if not self._draining:
            self.give_up(max(0, int(self._cells[Cell.CONNECTIONS] - share)) if share else 0)
        if now >= self._next_module_check:
            self._next_module_check = now + _SECONDS_BETWEEN_MODULE_CHECKS
            self._cells[Cell.BLOCKING_MODULES] = float(blocking_modules.loaded(sys.modules))
            self._find_pools()
            if self._finds_out:
                self._app_runs.look(at_threads=not self.monkey_patches.by_app())
                self._note_traits()
        elif self._app_runs.look_at_requests():
            self._note_traits()

    def _note_children(self) -> None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._cells[Cell.CHILDREN_USER_SECONDS] = used.ru_utime
        self._cells[Cell.CHILDREN_SYSTEM_SECONDS] = used.ru_stime

    def _find_pools(self) -> None:
        # a lock of a pool that the app has replaced may block the worker's own thread for ever
        if self._finds_out and not self.monkey_patches.by_app():
            self._pools.find()

    def _note_pools(self) -> None:
        for library, use in self._pools.look().items():
            place = Cell.POOLS + len(use) * names.POOL_LIBRARIES.index(library)
            self._cells[place], self._cells[place + 1], self._cells[place + 2] = use

    def _note_traits(self) -> None:
        found = traits.bitmap(names.APP_PATCHED_INFO, self.monkey_patches.by_app())
        found |= traits.bitmap(names.APP_RUNS_INFO, self._app_runs.found)
        found |= traits.bitmap(names.IMPORTED_EARLY_INFO, self._early)
        self._cells[Cell.TRAITS] = float(found)

    def _retire_if_told(self) -> None:
        """Make sure that SIGTERM retires this worker, whatever handler the app has set."""
        if self._cells[Cell.WORKER_CLASS] < 0:
            return  # a custom class may do this in its own way
        termination_handler.retire_first(self.handle_exit, self.log)
        if self._cells[Cell.TOLD_TO_RETIRE] and self.alive:
            self.alive = False

    def resize(self, threads: int, worker_connections: int) -> None:
        """Adopt more or fewer threads or connections while serving, of those that `changes_in_place` names.

        No request is cut, and no connection closed: what is too many ends when it has served its request, or is
        awaited before anything else begins.
        """

    def drain(self) -> None:
        """Make every response from now on its connection's last, while new connections are still accepted.

        Overridden by classes whose responses are not gunicorn's WSGI responses.
        """
        if self.meter is not None:
            self.meter.to_close = math.inf

    def give_up(self, connections: int) -> None:
        """Make so many of the next responses their connection's last; nearly always 0."""
        if self.meter is not None:
            self.meter.to_close = float(connections)

    def _sizes_wanted(self) -> dict[str, int]:
        return {name: int(self._cells[IN_PLACE[name]]) for name in sorted(self.changes_in_place)}

    def _resize_if_wanted(self) -> None:
        wanted = self._sizes_wanted()
        if wanted == self._sizes:
            return
        self._sizes = wanted
        for name, number in wanted.items():
            self.cfg.set(name, number)
        self.resize(self.cfg.threads, self.cfg.worker_connections)
        self._cells[Cell.SLOTS] = float(self.slots(self.cfg))
        changed = ", ".join(f"{name} {number}" for name, number in wanted.items())
        self.log.info("Worker (pid:%s) has changed in place: %s", self.pid, changed)

    def _take_up_index(self) -> None:
        index = int(self._cells[Cell.INDEX])
        if index != self._index:
            self._index = index
            access_log.in_worker(self.log, index, self._class_name())

    def _class_name(self) -> str:
        place = int(self._cells[Cell.WORKER_CLASS])
        return _CLASSES[place].value if place >= 0 else "custom"

    def _note_requests_served(self) -> None:
        # A user's hook may have set its own limit later, at which gunicorn's loop ends.
        if self.nr < min(self._requests_to_serve, self.max_requests) or self._cells[Cell.REACHED_MAX_REQUESTS]:
            return
        self._cells[Cell.REACHED_MAX_REQUESTS] = 1.0
        self.log.info("Worker (pid:%s) has served %d requests: another one takes its place", self.pid, self.nr)

    def note_connections(self, count: int) -> None:
        """Publish how many client connections are open."""
        self._cells[Cell.CONNECTIONS] = float(count)

    def note_lag(self, seconds: float) -> None:
        """Publish how late a periodic timer fired, smoothed over about a second."""
        self._cells[Cell.LAG_SECONDS] += (max(0.0, seconds) - self._cells[Cell.LAG_SECONDS]) * _LAG_WEIGHT
        self._cells[Cell.TICKED_AT] = time.monotonic()

    def naps(self) -> Iterator[float]:
        """Yield the seconds to sleep until the next tick of the loop's timer, in one piece.

        On trial in short ones, so that the worker follows within milliseconds once the guard has ended that.
        """
        if not self._cells[Cell.ON_TRIAL] or self._cells[Cell.RETIRES]:
            yield LAG_TICK_SECONDS
            return
        until = time.monotonic() + LAG_TICK_SECONDS
        while not self._cells[Cell.TOLD_TO_RETIRE] and (left := until - time.monotonic()) > 0.0:
            yield min(left, NAP_SECONDS)
            self._resize_if_wanted()
        self._retire_if_told()

    def first_request_seconds(self) -> float:
        """Return how long a new connection may stay silent before its first request: load balancers connect ahead.

        At least as long as under the same class of gunicorn, and as long as a kept connection.
        """
        return max(FIRST_REQUEST_SECONDS, float(self.cfg.keepalive))

    def retire_until(self) -> float:
        """Return until when (time.monotonic()) this worker, which retires, may finish its requests.

        Infinity, the usual case, means as long as its longest request takes: another worker replaces this one. When the
        server itself stops, --graceful-timeout applies. Ask each time: that may happen while a worker retires.
        """
        self._cells[Cell.RETIRES] = 1.0
        told = (
            self._cells[Cell.RETIRE_BY] or math.inf
        )  # one that retires on its own gets a deadline as soon as the master notices
        if self.ppid == os.getppid():
            return told
        if self._orphaned_at is None:
            self._orphaned_at = time.monotonic()
        return min(told, self._orphaned_at + float(self.cfg.graceful_timeout))

    def may_finish(self) -> bool:
        """Return whether this worker, which retires, may continue its requests: see `retire_until`."""
        return time.monotonic() < self.retire_until()

    def linger_seconds(self) -> float:
        """Return how long this worker, when it retires, waits for requests that are in transit.

        Not at all if the guard of a trial has found that it harms them.
        """
        if self._cells[Cell.CLOSES_AT_ONCE]:
            return 0.0
        return min(RETIRE_LINGER_SECONDS, float(self.cfg.graceful_timeout) / 2.0)


def _leave_to_the_master(_number: int, _frame: Any) -> None:
    """Handle a signal by doing nothing."""


def _beat_not() -> None:
    """Stand for a heartbeat where there must be none: the worker's file is not this process's."""
