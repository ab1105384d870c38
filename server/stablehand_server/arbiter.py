"""gunicorn's arbiter with live settings: what should run may change at any time, and what serves goes on serving.

Each pass of gunicorn's main loop reads the settings file, asks the plan (`generation`) for the next step from the
workers that live towards the generation that is wanted, and takes that step. There are no threads: this process forks.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.pidfile import Pidfile

from stablehand_server import candidate, children, exits, listeners
from stablehand_server.candidate import Generation, Unusable
from stablehand_server.generation import LivingWorker, Phase, Plan, plan
from stablehand_server.settings_source import Reading, SettingsSource
from stablehand_server.slots import Cell, Server, Slots, State
from stablehand_server.termination import write_termination_message
from stablehand_server.workers import class_of
from stablehand_server.workers.base import Assignment
from stablehand_tuner.settings import WORKERS, InvalidSettings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_server.child_process import ChildProcess
    from stablehand_server.workers.base import MeasuredWorker

_PASS_SECONDS = 0.5  # between two looks at the settings file
_SWITCHING_PASS_SECONDS = 0.05  # while workers boot or retire
_SECONDS_BETWEEN_SIGNALS = 1.0
_SECONDS_AFTER_GRACE = 2.0  # a worker ends itself after graceful_timeout; this much later it cannot
_ABANDONED_BOOT_SECONDS = 2.0  # for a worker that is told to go before its first heartbeat
_SHORTEST_RESPAWN_SECONDS = 1.0
_LONGEST_RESPAWN_SECONDS = 30.0
_CLASSES = list(WorkerClass)


class LiveArbiter(Arbiter):
    """Runs the workers of one generation, and rolls over to another without a failed request.

    `_target` is the generation that is wanted, `_serving` the last one that was all there: the same, or, while a switch
    goes on, the one to go back to. `_serving` is None until the first has come.
    """

    # gunicorn's own attributes, which have no types there
    LISTENERS: list[Any]
    cfg: Any
    pidfile: Any
    reexec_pid: int
    worker_class: Any

    def __init__(self, app: Any) -> None:
        self.slots = Slots()
        self._target: Generation
        self._serving: Generation | None = None
        self._generations = 1
        self._replaced = 0
        self._loaded: tuple[str | None, Any] = (None, None)  # what the serving generation's app is, and, preloaded, has
        self._file_reading: Reading | None = None  # the last one that was valid
        self._respawn_at = 0.0
        self._respawn_pause = _SHORTEST_RESPAWN_SECONDS
        self._stopping = False
        self._out_of_memory = exits.OutOfMemoryKills()
        self._children: list[ChildProcess] = []
        self._source = SettingsSource(())
        super().__init__(app)

    # gunicorn's seams ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Choose the first generation, listen, and start what runs beside the workers."""
        files = children.settings_files(self.cfg)
        self._source = SettingsSource(files)
        try:
            self._target = candidate.from_configuration(self.app.cfg, self._generations, self.log)
        except Unusable as fault:
            raise RuntimeError(str(fault)) from fault
        reading = self._source.poll()
        if reading is not None:
            wanted = self._candidate(reading)
            self._target = wanted or self._target
        self._write_settings(Server.DESIRED, self._target)
        self.worker_class = self._target.worker_class
        self.cfg = self._target.config
        self.num_workers = self._target.workers
        self._children = children.beside_workers(self.cfg, self.log, self.slots, files, self._close_listeners)
        super().start()
        self.log.info("Settings: %s, from %s", self._target, self._target.origin)
        for child in self._children:
            child.ensure()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals, but not so long that the settings file or a switch has to wait."""
        settled = self._serving is self._target and all(self._phase(w) is Phase.READY for w in self.WORKERS.values())
        return list(super().wait_for_signals(min(timeout, _PASS_SECONDS if settled else _SWITCHING_PASS_SECONDS)))

    def manage_workers(self) -> None:
        """Take one step towards what is wanted."""
        self._follow_settings_file()
        self._note_first_heartbeats()
        self._carry_out(self._plan())
        for child in self._children:
            child.ensure()
        waiting, limit = listeners.backlog(self.LISTENERS)
        self.slots.write_server(Server.WORKERS, [self._target.workers, waiting, limit])
        if self.cfg.enable_backlog_metric:
            extra = {"metric": "gunicorn.backlog", "value": waiting, "mtype": "histogram"}
            self.log.debug("socket backlog: %s", waiting, extra=extra)

    def spawn_worker(self, index: int | None = None) -> None:
        """Fork a worker of the wanted generation at an index, by default the lowest free one."""
        taken = {worker.assignment.index for worker in self.WORKERS.values()}
        place = min(set(range(len(taken) + 1)) - taken) if index is None else index
        target = self._target
        record = self.slots.allocate(
            index=place,
            age=self.worker_age + 1,
            worker_class=_class_number(target),
            slots=target.worker_class.slots(target.config),
        )
        self.cfg = target.config
        build: Callable[..., Any] = target.worker_class
        self.worker_class = functools.partial(build, assignment=Assignment(place, target.number, record))
        try:
            record.cells[Cell.PID] = super().spawn_worker()
        except OSError as error:  # no process, or no file for its heartbeat: what serves goes on
            self.slots.release(record)
            self._pause_respawning()
            self.log.error("A worker cannot be started (%s); trying again", error)  # noqa: TRY400 (no bug of ours)
        self.worker_class = target.worker_class

    def reap_workers(self) -> None:
        """Take leave of every child that has ended."""
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
                self._take_leave(self.WORKERS.pop(pid), status, usage.ru_utime, usage.ru_stime)
            elif not any(child.reaped(pid, status) for child in self._children):
                self.log.debug("Reaped unknown child process (pid:%s, status:%s)", pid, status)

    def murder_workers(self) -> None:
        """End workers that do not beat, hang while they boot, or do not come to an end."""
        now = time.monotonic()
        for pid, worker in list(self.WORKERS.items()):
            if self._is_overdue(worker, now):
                self._abort(pid, worker, now)
            elif self._hangs_in_an_abandoned_boot(worker, now):
                self.kill_worker(pid, signal.SIGKILL)
            elif worker.retiring_since is not None and now - worker.told_to_retire_at > _SECONDS_BETWEEN_SIGNALS:
                # A signal that comes before the worker has its handlers is lost.
                worker.told_to_retire_at = now
                self.kill_worker(pid, signal.SIGTERM)

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 (gunicorn's signature)
        """Stop: readiness falls first, then the workers finish what they have."""
        self._stopping = True
        self.slots.server[Server.STOPPING] = 1.0
        for worker in self.WORKERS.values():
            self._mark_retiring(worker)
        super().stop(graceful)
        for child in self._children:
            child.stop()

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop and exit; Kubernetes is told why."""
        if reason is not None and exit_status:
            write_termination_message(reason)
        super().halt(reason, exit_status)

    def handle_ttin(self) -> None:
        """SIGTTIN: one worker more, up to as many as settings may ask for."""
        if self._target.workers < WORKERS.highest:
            self._switch_to(self._target.with_workers(self._target.workers + 1))

    def handle_ttou(self) -> None:
        """SIGTTOU: one worker fewer, but never none."""
        if self._target.workers > 1:
            self._switch_to(self._target.with_workers(self._target.workers - 1))

    def handle_winch(self) -> None:
        """SIGWINCH: where gunicorn is a daemon, all workers go, and the master stays."""
        if self.cfg.daemon:
            self._target = self._target.with_workers(0)
            self.num_workers = 0

    def reload(self) -> None:
        """SIGHUP: read the configuration anew, and roll over to it; one that cannot be read or run changes nothing."""
        self._stats["reloads"] += 1
        try:
            reloaded = self.app.reloaded()
            _ = reloaded.cfg.env  # raises where one is no NAME=VALUE
            if reloaded.cfg.preload_app and not self.cfg.preload_app:
                reloaded.wsgi()
            wanted = candidate.from_configuration(reloaded.cfg, self._generations + 1, self.log)
            sockets = listeners.rebound(self.LISTENERS, reloaded.cfg, self.log)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a configuration file does)
            self._reject(f"the configuration cannot be reloaded: {candidate.fault_in_words(error)}")
            return
        self._restore_environment()
        self.app.cfg, self.app.app_uri = reloaded.cfg, reloaded.app_uri
        if not self.cfg.preload_app:
            self.app.callable = reloaded.callable
        self.setup(self.app)
        self.log.reopen_files()
        self.LISTENERS = sockets
        try:
            self.cfg.on_reload(self)
            self._renew_pidfile()
        except Exception:  # a hook of the user's, a folder without rights: no reason to stop serving
            self.log.exception("Part of the reload failed")
        util._setproctitle(f"master [{self.proc_name}]")  # noqa: SLF001 (gunicorn's own module, as its arbiter does)
        if self._file_reading is not None:
            wanted = self._candidate(self._file_reading, anew=True) or wanted
        self._generations = wanted.number
        self._switch_to(wanted, anew=True)

    # Settings → target ------------------------------------------------------------------------------------------------

    def _follow_settings_file(self) -> None:
        reading = self._source.poll()
        if reading is None or self._stopping:
            return
        wanted = self._candidate(reading)
        if wanted is not None:
            self._switch_to(wanted)

    def _candidate(self, reading: Reading, *, anew: bool = False) -> Generation | None:
        """Return the generation that a reading asks for, with the number of one whose processes would do for it."""
        try:
            settings = reading.settings()
            at_hand = () if anew else (self._target, self._serving)
            in_place = (each.number for each in at_hand if each is not None and each.runs_in_place(settings))
            number = next(in_place, self._generations + 1)
            wanted = candidate.from_settings(self.app.cfg, settings, number, f"the file {reading.path}", self.log)
        except (InvalidSettings, Unusable) as fault:
            self._reject(f"{reading.path}: {fault}")
            return None
        self._file_reading = reading
        self._generations = max(self._generations, number)
        return wanted

    def _reject(self, fault: str) -> None:
        self.slots.count_switch("rejected")
        self.log.error("Settings refused, nothing changes: %s", fault)

    def _switch_to(self, wanted: Generation, *, anew: bool = False) -> None:
        self._write_settings(Server.DESIRED, wanted)
        if not anew and (wanted.number, wanted.settings) == (self._target.number, self._target.settings):
            return
        self.log.info("Switching from %s to %s, as %s says", self._target, wanted, wanted.origin)
        self._replaced = sum(
            self._phase(worker) is Phase.READY and worker.assignment.generation != wanted.number
            for worker in self.WORKERS.values()
        )
        self._target = wanted
        self.num_workers = wanted.workers
        self._respawn_at = 0.0
        self._respawn_pause = _SHORTEST_RESPAWN_SECONDS

    def _switched(self) -> None:
        first, self._serving = self._serving is None, self._target
        self._loaded = (self.app.app_uri, self.app.callable)
        self._respawn_pause = _SHORTEST_RESPAWN_SECONDS
        self.cfg = self._target.config
        self.slots.server[Server.GENERATION] += 1.0
        self._write_settings(Server.ACTIVE, self._target)
        if not first:
            self.slots.count_switch("done")
        self.log.info("Serving with %s", self._target)

    def _roll_back(self, why: str) -> None:
        if self._serving is None:
            return
        self.slots.count_switch("rolled_back")
        self.log.error("%s did not boot, back to %s: %s", self._target, self._serving, why)
        if self._target.base is not self._serving.base:  # a reload: also the app, the log and the environment go back
            self._restore_environment()
            self.app.cfg = self._serving.base
            self.app.app_uri, self.app.callable = self._loaded
            self.setup(self.app)
        self._target = self._serving
        self._replaced = 0
        self.cfg = self._serving.config
        self.worker_class = self._serving.worker_class
        self.num_workers = self._serving.workers

    # Target → workers -------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        if self._target.workers == 0:
            going = [pid for pid, worker in self.WORKERS.items() if worker.retiring_since is None]
            return Plan(retire=tuple(going))
        living = [
            LivingWorker(pid, worker.assignment.index, worker.assignment.generation, self._phase(worker), worker.age)
            for pid, worker in self.WORKERS.items()
        ]
        return plan(living, generation=self._target.number, workers=self._target.workers, replaced=self._replaced)

    def _carry_out(self, steps: Plan) -> None:
        for pid in steps.retire:
            self._mark_retiring(self.WORKERS[pid])
            self.kill_worker(pid, signal.SIGTERM)
        if time.monotonic() >= self._respawn_at and not self._stopping:
            for index in steps.spawn:
                self.spawn_worker(index)
        if steps.complete and self._serving is not self._target:
            self._switched()

    def _mark_retiring(self, worker: MeasuredWorker) -> None:
        if worker.retiring_since is None:
            worker.retiring_since = worker.told_to_retire_at = time.monotonic()
            worker.assignment.record.cells[Cell.STATE] = State.RETIRING

    def _note_first_heartbeats(self) -> None:
        for pid, worker in self.WORKERS.items():
            # The file's time is the wall clock's until the worker beats for the first time, in its own loop.
            if not worker.ready and worker.tmp.last_update() <= time.monotonic():
                worker.ready = True
                if worker.retiring_since is None:
                    worker.assignment.record.cells[Cell.STATE] = State.READY
                self.log.debug("Worker %s (pid:%s) is ready", worker.assignment.index, pid)

    def _phase(self, worker: MeasuredWorker) -> Phase:
        if worker.retiring_since is not None:
            return Phase.RETIRING
        return Phase.READY if worker.ready else Phase.BOOTING

    def _is_overdue(self, worker: MeasuredWorker, now: float) -> bool:
        if not worker.ready:
            patience = float(self.cfg.boot_timeout)
            return bool(patience) and now - worker.spawned_at > patience
        longest = float(self.cfg.graceful_timeout) + _SECONDS_AFTER_GRACE
        if worker.retiring_since is not None and now - worker.retiring_since > longest:
            return True
        return bool(self.timeout) and now - worker.tmp.last_update() > self.timeout

    def _hangs_in_an_abandoned_boot(self, worker: MeasuredWorker, now: float) -> bool:
        # It has accepted nothing, and never will: once told to retire, no class accepts. So nobody loses a request.
        told_at = worker.retiring_since
        return told_at is not None and not worker.ready and now - told_at > _ABANDONED_BOOT_SECONDS

    def _abort(self, pid: int, worker: MeasuredWorker, now: float) -> None:
        if not worker.aborted:
            self.log.critical("WORKER TIMEOUT (pid:%s)%s", pid, "" if worker.ready else " while it booted")
            worker.aborted = True
            worker.aborted_at = now
            self.kill_worker(pid, signal.SIGABRT)
        elif now - worker.aborted_at > _SECONDS_BETWEEN_SIGNALS:
            self.kill_worker(pid, signal.SIGKILL)

    # The end of a worker ----------------------------------------------------------------------------------------------

    def _take_leave(self, worker: MeasuredWorker, status: int, cpu_user: float, cpu_system: float) -> None:
        failed = os.waitstatus_to_exitcode(status) != 0
        reason = exits.reason(worker, status, out_of_memory=failed and self._out_of_memory.happened())
        if failed and reason not in {"retired", "max_requests"}:
            self.log.error("Worker (pid:%s) %s (%s)", worker.pid, exits.in_words(status), reason)
        self.slots.count_exit(reason)
        why = worker.assignment.record.failure or exits.in_words(status)
        self.slots.release(worker.assignment.record, cpu_user=cpu_user, cpu_system=cpu_system)
        worker.tmp.close()
        self.cfg.child_exit(self, worker)
        if not worker.ready and worker.retiring_since is None and not self._stopping:
            self._boot_failed(worker, status, why)

    def _boot_failed(self, worker: MeasuredWorker, status: int, why: str) -> None:
        if self._serving is not None and self._serving is not self._target:
            if worker.assignment.generation == self._target.number:
                self._roll_back(why)
            return
        code = os.waitstatus_to_exitcode(status)
        served = any(self._phase(each) is Phase.READY for each in self.WORKERS.values())
        if code in {self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR} and not served:
            what = "App failed to load" if code == self.APP_LOAD_ERROR else "Worker failed to boot"
            raise HaltServer(f"{what}: {why}", code)
        self._pause_respawning()

    def _pause_respawning(self) -> None:
        self._respawn_at = time.monotonic() + self._respawn_pause
        self._respawn_pause = min(2 * self._respawn_pause, _LONGEST_RESPAWN_SECONDS)

    # Small change -----------------------------------------------------------------------------------------------------

    def _write_settings(self, start: Server, generation: Generation) -> None:
        config = generation.config
        numbers = [_class_number(generation), generation.workers, config.threads, config.worker_connections]
        self.slots.write_server(start, numbers)

    def _close_listeners(self) -> None:
        for listener in self.LISTENERS:
            listener.close()

    def _restore_environment(self) -> None:
        for name in self.cfg.env:
            if name in self.cfg.env_orig:
                os.environ[name] = self.cfg.env_orig[name]
            else:
                os.environ.pop(name, None)

    def _renew_pidfile(self) -> None:
        if self.pidfile is not None:
            self.pidfile.unlink()
        if self.cfg.pidfile is not None:
            self.pidfile = Pidfile(self.cfg.pidfile)
            self.pidfile.create(self.pid)


def _class_number(generation: Generation) -> int:
    """Return the place of a generation's class in the contract, or -1 for a class of the user's own."""
    worker_class = class_of(generation.config)
    return -1 if worker_class is None else _CLASSES.index(worker_class)
