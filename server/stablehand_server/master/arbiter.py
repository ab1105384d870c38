"""gunicorn's arbiter with live settings: what should run may change at any time, and what serves goes on serving.

Each pass of gunicorn's main loop reads the settings file, asks the plan (`generation`) for the next step from the
workers that live towards the generation that is wanted (`switching`), and takes that step. There are no threads: this
process forks.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any, Literal

from stablehand_server.config import class_options, reload
from stablehand_server.config.reload import Footing
from stablehand_server.config.settings_source import Reading, SettingsSource
from stablehand_server.gunicorn_internals.master import HaltServer
from stablehand_server.gunicorn_internals.process import set_process_title
from stablehand_server.master import generation, lifecycle, listeners
from stablehand_server.master.balance import Balance
from stablehand_server.master.generation import Generation, Unusable
from stablehand_server.master.rolling_plan import LivingWorker, Plan, plan
from stablehand_server.master.sidecars import Sidecars
from stablehand_server.master.supervisor import Supervisor
from stablehand_server.master.switching import Switching
from stablehand_server.measure.backlog import backlog
from stablehand_server.shared_memory import Cell, Server, State
from stablehand_server.workers import class_of
from stablehand_tuner.contracts.settings import WORKERS, InvalidSettings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_server.master.supervisor import Ending
    from stablehand_server.workers.common.base import MeasuredWorker

_CLASSES = list(WorkerClass)
_PASS_SECONDS = 0.5  # between two looks at the settings file
_SWITCHING_PASS_SECONDS = 0.05  # while workers boot or retire
_BOOTS_BEFORE_GIVING_UP = 5  # of a server that has served, and has no worker left


class LiveArbiter(Supervisor):
    """Runs the workers of one generation, and rolls over to another without a failed request."""

    def __init__(self, app: Any) -> None:
        self._source = SettingsSource(())
        self._newest_reading: Reading | None = None
        self._valid_reading: Reading | None = None  # the last one that was
        self._footing: Footing  # of the target, and of what serves
        self._serving_footing: Footing
        self._paused = False  # by SIGWINCH
        self._waits = False  # the change goes on when requests that take long have come to their end
        self._balance = Balance()
        super().__init__(app)

    # gunicorn's seams ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Choose the first generation, listen, and start what runs beside the workers."""
        self._sidecars = beside = Sidecars(self.log, self.slots, self._close_listeners)
        files = beside.settings_files(self.cfg)
        self._source = SettingsSource(files)
        try:
            self._switching = Switching(generation.from_configuration(self.app.cfg, 1, self.log))
        except Unusable as fault:
            raise RuntimeError(str(fault)) from fault
        target = self._switching.target = self._wanted_by_file() or self._switching.target
        self.write_settings(Server.DESIRED, target)
        self.worker_class, self.cfg = target.worker_class, target.config
        self.note_wanted(target.workers)
        beside.begin(self.cfg, files, _name_of(self.app))
        inheritance = listeners.Inheritance.from_environment(os.environ)
        os.environ.pop(listeners.MADE_VARIABLE, None)
        super().start()
        beside.begin_by_default()
        self.handed_over = inheritance.handed_over(self.LISTENERS, self.cfg, systemd=self.systemd)
        self._footing = self._serving_footing = Footing(
            self.app.cfg, self.app.app_uri, self.app.callable, tuple(self.LISTENERS)
        )
        self._note_footing(self._footing, self._footing)
        self.log.info("Settings: %s, from %s", target, target.origin)
        self.ensure_children()
        started = getattr(self.app, "started", None)  # a program's own application may be plain gunicorn's
        if started is not None:
            started()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals, but not so long that the settings file or a switch has to wait."""
        moving = any(w.state is State.BOOTING or (w.state is State.RETIRING and not w.kept) for w in self._living())
        calm = not moving and (self._switching.settled or self._waits)
        return list(super().wait_for_signals(min(timeout, _PASS_SECONDS if calm else _SWITCHING_PASS_SECONDS)))

    def manage_workers(self) -> None:
        """Take one step towards what is wanted."""
        wanted = None if self._stopping else self._wanted_by_file()
        if wanted is not None:
            self._switch_to(wanted)
        self._follow_control_socket()
        self._note_first_heartbeats()
        self.note_untold_retirements()
        self._carry_out(self._plan())
        self.ensure_children()
        self._report()

    def handle_ttin(self) -> None:
        """SIGTTIN: one worker more, up to as many as settings may ask for."""
        self._resize(+1, "SIGTTIN")

    def handle_ttou(self) -> None:
        """SIGTTOU: one worker fewer, but never none."""
        self._resize(-1, "SIGTTOU")

    def handle_winch(self) -> None:
        """SIGWINCH: where gunicorn is a daemon, all workers go, and the master stays."""
        if self.cfg.daemon:
            self.log.info("All workers retire; SIGHUP or SIGTTIN brings new ones")
            self._paused = True
            self.note_wanted(0)
        else:
            self.log.debug("SIGWINCH ignored. Not daemonized")

    def reload(self) -> None:
        """SIGHUP: read the configuration anew, and roll over to it; one that cannot be read or run changes nothing."""
        self._stats["reloads"] += 1
        try:
            reloaded = reload.read_anew(self.app, self.cfg)
            wanted = generation.from_configuration(reloaded.cfg, self._switching.next_number, self.log)
            others = self.foreign_listeners()
            sockets = listeners.rebound(self.LISTENERS, self.app.cfg, reloaded.cfg, self.log, others=others)
            try:
                self._follow(reloaded)
            except BaseException:
                listeners.close(set(sockets).difference(self.LISTENERS, others))
                raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a configuration file does)
            self._refuse(f"the configuration cannot be reloaded: {generation.fault_in_words(error)}")
            return
        former = self.LISTENERS
        footing = Footing(reloaded.cfg, reloaded.app_uri, reloaded.callable, tuple(sockets))
        reload.stand_on(self, footing)
        self._note_footing(footing, self._serving_footing)
        self.log.reopen_files()
        if sockets != former:
            self.log.info("Listening at: %s", ",".join(map(str, sockets)))
        try:
            self.cfg.on_reload(self)
        except Exception:  # a hook of the user's: no reason to stop serving
            self.log.exception("Part of the reload failed")
        set_process_title(f"master [{self.proc_name}]")
        reading = self._valid_reading
        if reading is None and (fresh := self._source.poll()) is not None:  # of other files, as a rule
            reading = self._newest_reading = fresh
        if reading is not None:
            wanted = self._candidate(reading, number=wanted.number) or wanted
        self._paused = False
        self._switch_to(wanted, anew=True)

    def _follow(self, app: Any) -> None:
        """Let what is beside the workers follow an application's configuration, and watch the files that it names.

        Raises:
            RuntimeError: when that cannot be; nothing has changed then.
        """
        if self._sidecars is None:
            return
        files = self._sidecars.settings_files(app.cfg)
        self._sidecars.reload(app.cfg, files, _name_of(app))
        if files != self._source.paths:
            self._source = SettingsSource(files)
            self._newest_reading = self._valid_reading = None

    def _note_first_heartbeats(self) -> None:
        for pid, worker in self.WORKERS.items():
            if lifecycle.note_first_heartbeat(worker):
                self._respawning.succeeded()
                self.log.debug("Worker %s (pid:%s) is ready", worker.assignment.index, pid)

    def _report(self) -> None:
        """Publish how many workers are wanted, how many connections wait and each worker's share, also to statsd."""
        if self._switching.settled:
            serving = (each for each in self.WORKERS.values() if lifecycle.state(each) is State.READY)
            self._balance.look((each.assignment.record for each in serving), time.monotonic())
        waiting, limit = backlog(self.LISTENERS)
        limits = [waiting, limit, self._retire_limit(self._living())]
        self.slots.write_server(Server.WORKERS, [self._switching.target.workers, *limits])
        active = sum(worker.retiring_since is None for worker in self.WORKERS.values())
        if active != self._last_logged_active_worker_count:
            self._last_logged_active_worker_count = active
            self.log.debug(
                "%s workers", active, extra={"metric": "gunicorn.workers", "value": active, "mtype": "gauge"}
            )
        if self.cfg.enable_backlog_metric:
            extra = {"metric": "gunicorn.backlog", "value": waiting, "mtype": "histogram"}
            self.log.debug("socket backlog: %s", waiting, extra=extra)

    def foreign_listeners(self) -> list[Any]:
        """Return the sockets of the generation that still serves, where a reload has named other addresses."""
        return [each for each in self._serving_footing.listeners if each not in self.LISTENERS]

    # Settings → target ------------------------------------------------------------------------------------------------

    def _wanted_by_file(self) -> Generation | None:
        """Return what the settings file asks for, if that is new and can run."""
        reading = self._source.poll()
        if reading is None:
            return None
        self._newest_reading = reading
        return self._candidate(reading)

    def _candidate(self, reading: Reading, number: int | None = None) -> Generation | None:
        try:
            settings = reading.settings()
            number = self._switching.number_for(settings) if number is None else number
            wanted = generation.from_settings(self.app.cfg, settings, number, f"the file {reading.path}", self.log)
        except (InvalidSettings, Unusable) as fault:
            self._refuse(f"{reading.path}: {fault}")
            self.slots.server[Server.REFUSED] = 1.0
            return None
        self._valid_reading = reading
        if reading == self._newest_reading:
            self.slots.server[Server.REFUSED] = 0.0
        return wanted

    def _refuse(self, fault: str) -> None:
        self.slots.count_switch("rejected")
        self.log.error("Settings refused, nothing changes: %s", fault)

    def _resize(self, more: int, origin: str) -> None:
        workers = (0 if self._paused else self._switching.target.workers) + more
        if workers in WORKERS:
            self._paused = False
            self._switch_to(dataclasses.replace(self._switching.target.with_workers(workers), origin=origin))

    def _follow_control_socket(self) -> None:
        # Its commands for more or fewer workers only set this number, in a thread of their own.
        target = self._switching.target
        if self.num_workers != target.workers and not self._paused and not self._stopping:
            self._resize(self.num_workers - target.workers, "the control socket")
            self.note_wanted(self._switching.target.workers)

    def _switch_to(self, wanted: Generation, *, anew: bool = False) -> None:
        self.write_settings(Server.DESIRED, wanted)
        if not anew and self._switching.is_wanted_already(wanted):
            return
        # A worker may serve since the last pass: it is what a change that fails goes back to.
        self._note_first_heartbeats()
        if not self._switching.settled and self._plan().complete:
            self._switched()
        self.log.info("Switching from %s to %s, as %s says", self._switching.target, wanted, wanted.origin)
        workers = self.WORKERS.values()
        replaced = sum(lifecycle.state(w) is State.READY and w.assignment.generation != wanted.number for w in workers)
        self._switching.begin(wanted, replaced=replaced)
        self.note_wanted(wanted.workers)
        for worker in workers:
            if worker.assignment.generation == wanted.number:  # takes up at its next beat what has grown
                cells, config = worker.assignment.record.cells, wanted.config
                cells[Cell.THREADS], cells[Cell.WORKER_CONNECTIONS] = config.threads, config.worker_connections
        self._respawning.reset()
        self._memory.forget()

    def _switched(self) -> None:
        first, target = self._switching.serving is None, self._switching.target
        self._switching.complete()
        self._note_footing(self._footing, self._footing)
        self._respawning.succeeded()
        self._memory.forget()
        self.cfg = target.config
        self.slots.server[Server.GENERATION] += 1.0
        self.write_settings(Server.ACTIVE, target)
        if not first:
            self.slots.count_switch("done")
        self.log.info("Serving with %s", target)

    def _roll_back(self, why: str) -> None:
        failed, serving = self._switching.target, self._switching.undo()
        if serving is None:
            return
        self.slots.count_switch("rolled_back")
        self.log.error("%s did not boot, back to %s: %s", failed, serving, why)
        if self._valid_reading is not None and self._valid_reading == self._newest_reading:
            self.slots.server[Server.REFUSED] = float(failed.settings != serving.settings)
        if self._footing is not self._serving_footing:  # a reload: all that it has changed goes back too
            reload.stand_on(self, self._serving_footing)
            self._note_footing(self._serving_footing, self._serving_footing)
            try:
                self._follow(self.app)
            except RuntimeError as error:
                self.log.error("Part of the former configuration is lost: %s", error)  # noqa: TRY400 (no bug of ours)
        self._memory.forget()
        self.cfg, self.worker_class = serving.config, serving.worker_class
        self.note_wanted(serving.workers)

    # Target → workers -------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        workers = self._living()
        if self._paused:
            return Plan(retire=tuple(each.pid for each in workers if each.state is not State.RETIRING))
        surge: Literal[0, 1] = 1
        if not self._switching.settled or any(each.spent for each in workers):
            surge = self._memory.surge([each.pid for each in workers if each.state is not State.BOOTING])
        else:
            self._memory.forget()
        target, replaced = self._switching.target, self._switching.replaced
        return plan(
            workers,
            generation=target.number,
            workers=target.workers,
            replaced=replaced,
            surge=surge,
            retire_limit=self._retire_limit(workers),
        )

    def _living(self) -> list[LivingWorker]:
        return lifecycle.living(self.WORKERS)

    def _retire_limit(self, workers: Collection[LivingWorker]) -> int:
        staying = sum(each.state is not State.RETIRING for each in workers)
        return int(self.cfg.retire_limit) or max(1, staying, self._switching.target.workers)

    def _carry_out(self, steps: Plan) -> None:
        for pid in steps.retire:
            self.retire_worker(pid)
        if self._respawning.over(time.monotonic()) and not self._stopping:
            for index in steps.spawn:
                self.spawn_worker(index)
        if steps.complete and not self._switching.settled:
            self._switched()
        self._note_waiting(steps.waits)

    def _note_waiting(self, waits: bool) -> None:  # noqa: FBT001 (what it is called with is its name)
        if waits and not self._waits:
            retiring = sum(lifecycle.state(each) is State.RETIRING for each in self.WORKERS.values())
            self.log.warning(
                "The change to %s waits for requests that take long: %d processes retire, beside %d that serve; "
                "--retire-limit and the memory allow no more",
                self._switching.target,
                retiring,
                len(self.WORKERS) - retiring,
            )
        self._waits = waits

    def worker_ended(self, worker: MeasuredWorker, ending: Ending) -> None:
        """Undo a switch whose worker did not boot, or try it again with more room, or boot another worker later."""
        switching = self._switching
        again = ending.reason == "oom" and not switching.settled and self._memory.note_exceeded()
        if worker.ready or worker.retiring_since is not None or self._stopping:
            return
        if switching.serving is not None and not switching.settled:
            if worker.assignment.generation == switching.target.number and not again:
                self._roll_back(ending.why)
            return
        self._respawning.failed(time.monotonic())
        serves = any(lifecycle.state(each) is State.READY for each in self.WORKERS.values())
        tries = 1 if switching.serving is None else _BOOTS_BEFORE_GIVING_UP
        if ending.boot_error is not None and not serves and self._respawning.failures >= tries:
            raise HaltServer(f"No worker serves, and none boots: {ending.why}", ending.boot_error)

    # The sockets ------------------------------------------------------------------------------------------------------

    def _note_footing(self, wanted: Footing, serving: Footing) -> None:
        """Note what the target and what serves stand on, and close the listeners that neither needs any longer."""
        excluded = class_options.excluded(wanted.config, class_of(wanted.config))
        self.slots.server[Server.EXCLUDED_CLASSES] = float(sum(1 << _CLASSES.index(each) for each in excluded))
        before = {*self._footing.listeners, *self._serving_footing.listeners}
        self._footing, self._serving_footing = wanted, serving
        for listener in before.difference(wanted.listeners, serving.listeners):
            made = listener not in self.handed_over
            listeners.close([listener], unlink=made and not self.reexec_pid and not self.master_pid)

    def _close_listeners(self) -> None:
        for listener in (*self.LISTENERS, *self.foreign_listeners()):
            listener.close()


def _name_of(app: Any) -> str:
    """Return what the tuner knows an app by."""
    return f"{app.cfg.chdir} {app.app_uri}"
