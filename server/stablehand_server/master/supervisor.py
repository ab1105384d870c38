"""The processes of the server: forks, monitors and reaps workers, whatever generation is wanted."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_server.gunicorn_internals.master import Arbiter
from stablehand_server.linux.cgroup import Cgroup
from stablehand_server.master import exits, generation, lifecycle, listeners
from stablehand_server.master.backoff import GrowingPause
from stablehand_server.master.lifecycle import TimeLimits
from stablehand_server.master.memory_headroom import MemoryHeadroom
from stablehand_server.master.termination import write_termination_message
from stablehand_server.shared_memory import Cell, Server, Slots
from stablehand_server.workers import class_of
from stablehand_server.workers.common.base import Assignment, MeasuredWorker
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_server.master.generation import Generation
    from stablehand_server.master.sidecars import Sidecars
    from stablehand_server.master.switching import Switching

_SHORTEST_RESPAWN_SECONDS = 1.0
_LONGEST_RESPAWN_SECONDS = 5.0  # an app may be waiting for its database, and gunicorn does not pause at all
_KILLED_SECONDS = 1.0  # for the kernel to end what was killed
_SECONDS_BETWEEN_REAPS = 0.01
# What may pass by itself; anything else that keeps the first worker from being started is a fault of the configuration.
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT})
_CLASSES = list(WorkerClass)


class Ending(NamedTuple):
    """How a worker ended: a reason of the metrics' contract, a description, and the error of its boot.

    `boot_error` is gunicorn's exit status for it, or None unless the boot itself reported that it failed.
    """

    reason: str
    why: str
    boot_error: int | None


class Supervisor(Arbiter):
    """The part of gunicorn's arbiter that forks, monitors and reaps; a subclass determines what should run."""

    # gunicorn's own attributes, which have no types there
    LISTENERS: list[Any]
    cfg: Any
    pidfile: Any
    _last_logged_active_worker_count: int | None
    master_pid: int
    reexec_pid: int
    worker_class: Any

    def __init__(self, app: Any) -> None:
        self.slots = Slots()
        self._switching: Switching
        self._respawning = GrowingPause(_SHORTEST_RESPAWN_SECONDS, _LONGEST_RESPAWN_SECONDS)
        cgroup = Cgroup.of_this_process()
        self._out_of_memory = exits.OutOfMemoryKills(cgroup)
        self._sidecars: Sidecars | None = None  # before the start
        self.handed_over: list[
            Any
        ] = []  # listeners that this server did not create: other processes may listen on them too
        self._dirty_pause = GrowingPause(_SHORTEST_RESPAWN_SECONDS, _LONGEST_RESPAWN_SECONDS)
        self._stopping = False
        self._ending_signal = signal.SIGTERM
        super().__init__(app)
        module = getattr(sys.modules["__main__"], "__spec__", None)
        if module is not None:
            # By `python -m`. gunicorn would execute the module's file next time, and the folder that this is in would
            # come first where the app's modules are looked for.
            name = module.name.removesuffix(".__main__")
            self.START_CTX["args"] = [sys.executable, "-m", name, *sys.argv[1:]]
        self._memory = MemoryHeadroom(cgroup, self.log)

    def _set_number_of_workers(self, workers: int) -> None:
        try:
            self._set_num_workers(workers)
        except Exception:
            switching: Switching | None = getattr(self, "_switching", None)  # not before the start
            if switching is None or switching.serving is None:
                raise
            self.log.exception("The hook nworkers_changed failed")

    num_workers = property(Arbiter._get_num_workers, _set_number_of_workers)  # noqa: SLF001 (gunicorn's own pair)

    def note_wanted(self, workers: int) -> None:
        """Set how many workers are wanted; like gunicorn, call the hook nworkers_changed at each assignment."""
        if workers != self.num_workers:
            self.num_workers = workers

    def foreign_listeners(self) -> list[Any]:
        """Return the sockets that are open, but not listened on by the workers that are forked now."""
        return []

    def worker_ended(self, worker: MeasuredWorker, ending: Ending) -> None:
        """React to a worker's exit."""
        raise NotImplementedError

    def spawn_worker(self, index: int | None = None, generation: Generation | None = None) -> int | None:
        """Fork a worker, and return its process id; None if that is impossible at present.

        By default it is of the wanted generation, and has the lowest free index.
        """
        taken = set(map(lifecycle.index, self.WORKERS.values()))
        place = min(set(range(len(taken) + 1)) - taken) if index is None else index
        target = generation or self._switching.target
        record = self.slots.allocate(
            index=place,
            age=self.worker_age + 1,
            worker_class=_class_number(target),
            slots=target.worker_class.slots(target.config),
            threads=target.config.threads,
            worker_connections=target.config.worker_connections,
        )
        self.cfg = target.config
        build: Callable[..., Any] = target.worker_class
        assignment = Assignment(place, target.number, record, tuple(self.foreign_listeners()))
        self.worker_class = functools.partial(build, assignment=assignment)
        master = os.getpid()
        try:
            pid = int(super().spawn_worker())
            record.cells[Cell.PID] = pid
        except Exception as error:  # no process, no file for its heartbeat, a hook that fails: keep serving
            self.slots.release(record)
            self._respawning.failed(time.monotonic())
            if self._switching.serving is None and not _is_shortage(error):
                raise
            self.log.error("A worker cannot be started (%s); trying again", error)  # noqa: TRY400 (no bug of ours)
            return None
        except BaseException as end:
            if os.getpid() == master or isinstance(end, SystemExit):
                raise
            # In gunicorn the child would go on as the master does after a KeyboardInterrupt, and end its siblings.
            self.log.exception("Exception in worker process")
            sys.exit(1)
        else:
            return pid
        finally:
            self.cfg, self.worker_class = self._switching.target.config, self._switching.target.worker_class

    def murder_workers(self) -> None:
        """End workers that send no heartbeat, hang while they boot, or do not exit in time."""
        now = time.monotonic()
        # As with gunicorn, --timeout ends no worker while the server itself stops: --graceful-timeout does.
        timeout = 0.0 if self._stopping else float(self.timeout)
        limits = TimeLimits(float(self.cfg.boot_timeout), timeout)
        for pid, worker in list(self.WORKERS.items()):
            due = lifecycle.signal_due(worker, limits, now)
            if due is signal.SIGABRT:
                worker.aborted_at = now
                if lifecycle.overstays(worker, now):
                    worker.overstays = True
                    self.log.warning("Worker (pid:%s) did not exit in time: it is killed", pid)
                else:
                    worker.aborted = True
                    self.log.critical("WORKER TIMEOUT (pid:%s)%s", pid, "" if worker.ready else " while it booted")
            elif due is signal.SIGTERM:
                due = self._ending_signal
            if due is not None:
                self.kill_worker(pid, due)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Signal a worker, but not by SIGTERM one that knows already that it is to end."""
        worker = self.WORKERS.get(pid)
        if isinstance(worker, MeasuredWorker) and sig in {signal.SIGTERM, signal.SIGQUIT}:
            if sig == signal.SIGTERM and lifecycle.knows_its_end(worker):
                return
            lifecycle.note_signal(worker)
        super().kill_worker(pid, sig)

    def retire_worker(self, pid: int) -> None:
        """Tell a worker to finish its requests and exit, within --retire-timeout."""
        lifecycle.note_retirement(self.WORKERS[pid], self._end_of_retirement())
        self.kill_worker(pid, signal.SIGTERM)

    def note_untold_retirements(self) -> None:
        """Note which workers stopped accepting on their own: they get as much time as those that were told to."""
        for worker in self.WORKERS.values():
            if lifecycle.retires_untold(worker):
                lifecycle.note_retirement(worker, self._end_of_retirement())

    def _end_of_retirement(self) -> float:
        seconds = float(self.cfg.retire_timeout)
        return time.monotonic() + seconds if seconds else math.inf

    def reap_workers(self) -> None:
        """Reap every child that has ended."""
        if self._stopping:
            self.murder_workers()  # gunicorn's own loop waits here for the last ones, and does nothing else
        out_of_memory = self._out_of_memory.since_last_call()
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.reexec_pid:
                self.reexec_pid = 0
            elif pid == self.dirty_arbiter_pid:
                self.handle_dirty_arbiter_exit(pid, status)
            elif pid in self.WORKERS:
                worker = self.WORKERS.pop(pid)
                reason = exits.reason(worker, status, out_of_memory=out_of_memory > 0)
                out_of_memory -= reason == "oom"
                self.slots.count_exit(reason)
                self._take_leave(worker, status, reason, (usage.ru_utime, usage.ru_stime))
            elif self._sidecars is None or not self._sidecars.reaped(pid, status):
                self.log.debug("Reaped unknown child process (pid:%s, status:%s)", pid, status)

    def reexec(self) -> None:
        """SIGUSR2: start a second master; if that fails, this one continues, and only the failed child exits.

        gunicorn's own would leave the main loop in either of them; in the child that ends the workers of this master.
        """
        made = [str(each.fileno()) for each in self.LISTENERS if each not in self.handed_over]
        environment = self.cfg.env_orig  # what is passed to the second master
        environment[listeners.MADE_VARIABLE] = ",".join(made)
        metrics = contextlib.nullcontext() if self._sidecars is None else self._sidecars.handed_over(environment)
        try:
            with metrics:
                super().reexec()
        except Exception as error:
            if os.getpid() != self.pid:
                self.log.exception("A second master cannot be started")
                os._exit(1)
            self.log.error("A second master cannot be started: %s", error)  # noqa: TRY400 (no bug of ours)
        finally:
            del environment[listeners.MADE_VARIABLE]

    def manage_dirty_arbiter(self) -> None:
        """Keep gunicorn's dirty arbiter running."""
        if self._dirty_pause.over(time.monotonic()):
            super().manage_dirty_arbiter()

    def spawn_dirty_arbiter(self) -> None:
        """Fork gunicorn's dirty arbiter; without a process for it, try again later."""
        try:
            super().spawn_dirty_arbiter()
        except OSError as error:
            if os.getpid() != self.pid:
                raise
            self._dirty_pause.failed(time.monotonic())
            self.log.error("The dirty arbiter cannot be started (%s); trying again", error)  # noqa: TRY400 (no bug of ours)

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 (gunicorn's signature)
        """Stop: readiness fails first, then the workers finish their requests within --graceful-timeout.

        gunicorn kills at the moment that this ends, before a worker's exit is complete: atexit, worker_exit, ASGI's
        lifespan. Here the exit has additional time.
        """
        self._stopping = True
        self._ending_signal = signal.SIGTERM if graceful else signal.SIGQUIT
        self.slots.server[Server.STOPPING] = 1.0
        grace = float(self.cfg.graceful_timeout)
        for worker in self.WORKERS.values():
            lifecycle.note_retirement(worker, time.monotonic() + grace)
        for listener in self.handed_over:
            listener.close()
        # gunicorn removes the files of all Unix sockets that it closes.
        self.LISTENERS = [each for each in self.LISTENERS if each not in self.handed_over]
        known, self.cfg = self.cfg, generation.copied(self.cfg)
        self.cfg.set("graceful_timeout", math.ceil(grace + lifecycle.LAST_SECONDS))
        super().stop(graceful)
        self.cfg = known
        self._await_the_killed()
        if self._sidecars is not None:
            self._sidecars.stop()

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop and exit, and report the reason to Kubernetes."""
        if reason is not None and exit_status:
            write_termination_message(reason)
        super().halt(reason, exit_status)

    def ensure_children(self) -> None:
        """Start the sidecars that should run and don't; after SIGUSR2 only when the former master has exited."""
        if self.master_pid == 0 and self._sidecars is not None:
            self._sidecars.ensure()

    def write_settings(self, start: Server, generation: Generation) -> None:
        """Publish a generation's settings in the cells from `start` on."""
        config = generation.config
        numbers = [_class_number(generation), generation.workers, config.threads, config.worker_connections]
        self.slots.write_server(start, numbers)

    def _await_the_killed(self) -> None:
        """Reap workers that have just been killed, since the hook child_exit is called for every worker."""
        until = time.monotonic() + _KILLED_SECONDS
        while self.WORKERS and time.monotonic() < until:
            self.reap_workers()
            time.sleep(_SECONDS_BETWEEN_REAPS)

    def _take_leave(self, worker: MeasuredWorker, status: int, reason: str, cpu_seconds: tuple[float, float]) -> None:
        if os.waitstatus_to_exitcode(status) != 0 and reason not in {"retired", "max_requests"}:
            terminated = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
            tell = self.log.info if terminated else self.log.error
            tell("Worker (pid:%s) %s (%s)", worker.pid, exits.as_gunicorn_says(status, reason), reason)
        ending = Ending(reason, *self._why(worker, status, reason))
        user, system = cpu_seconds
        self.slots.release(worker.assignment.record, cpu_user=user, cpu_system=system)
        worker.tmp.close()
        try:
            self.cfg.child_exit(self, worker)
        except Exception:
            self.log.exception("The hook child_exit failed")
        self.worker_ended(worker, ending)

    def _why(self, worker: MeasuredWorker, status: int, reason: str) -> tuple[str, int | None]:
        """Describe why the worker ended, and return the status of a boot that itself reported its failure."""
        if worker.aborted and not worker.ready:
            return f"it had not booted after {self.cfg.boot_timeout} seconds (--boot-timeout)", None
        if reason == "oom":
            return "it was killed for lack of memory", None
        code = os.waitstatus_to_exitcode(status)
        # As under gunicorn, an app that only exits may be waiting for something: its boot is tried again.
        boot_error = code if code in {self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR} else None
        return worker.assignment.record.failure or f"it {exits.in_words(status)}", boot_error


def _is_shortage(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _SHORTAGES


def _class_number(generation: Generation) -> int:
    """Return the index of a generation's class in the contract, or -1 for a custom class."""
    worker_class = class_of(generation.config)
    return -1 if worker_class is None else _CLASSES.index(worker_class)
