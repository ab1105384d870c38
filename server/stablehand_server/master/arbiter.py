"""gunicorn's arbiter with live settings: what should run may change at any time, without interrupting service.

Each pass of gunicorn's main loop reads the settings file, and takes a step towards the wanted generation (`rollover`).
There are no threads: this process forks.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.config import class_options, reload
from stablehand_server.config.reload import Footing
from stablehand_server.config.settings_source import Reading, SettingsSource
from stablehand_server.gunicorn_internals.process import set_process_title
from stablehand_server.master import generation, lifecycle, listeners
from stablehand_server.master.balance import Balance
from stablehand_server.master.generation import Generation, Unusable
from stablehand_server.master.sidecars import Sidecars
from stablehand_server.master.switching import Switching
from stablehand_server.master.trial.on_all import Asked
from stablehand_server.master.trial.trials import Trials
from stablehand_server.measure.backlog import backlog
from stablehand_server.shared_memory import Server, State
from stablehand_server.workers import class_of
from stablehand_tuner.contracts.settings import WORKERS, InvalidSettings, WorkerClass
from stablehand_tuner.contracts.trial import TrialOn

if TYPE_CHECKING:
    from stablehand_tuner.contracts.settings_file import SettingsFile

_CLASSES = list(WorkerClass)
_PASS_SECONDS = 0.5  # between two looks at the settings file
_SWITCHING_PASS_SECONDS = 0.05  # while workers boot or retire


class LiveArbiter(Trials):
    """Determines what should run, from gunicorn's configuration, the settings file, and signals."""

    def __init__(self, app: Any) -> None:
        self._source = SettingsSource(())
        self._newest_reading: Reading | None = None
        self._valid_reading: Reading | None = None  # the last one that was
        self._asked_by_file: Asked | None = None  # the trial in the valid reading
        self._footing: Footing  # of the target, and of what serves
        self._serving_footing: Footing
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
        wanted = self._wanted_by_file()
        if wanted is not None:
            self._switching.begin(wanted, replaced=0)
            self.skip_trial(self._asked_by_file)
        target = self._switching.target
        self.write_settings(Server.DESIRED, target)
        self.worker_class, self.cfg = target.worker_class, target.config
        self.note_wanted(target.workers)
        beside.begin(self.app.cfg, files, _name_of(self.app))
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
        """Wait for signals, but not so long that it delays the settings file or a switch."""
        moving = any(w.state is State.BOOTING or (w.state is State.RETIRING and not w.kept) for w in self.living())
        calm = not moving and (self._switching.settled or self.waits)
        longest = self.seconds_between_looks if self.trial_runs else _PASS_SECONDS if calm else _SWITCHING_PASS_SECONDS
        return list(super().wait_for_signals(min(timeout, longest)))

    def manage_workers(self) -> None:
        """Take one step towards what is wanted."""
        wanted = None if self._stopping else self._wanted_by_file()
        if wanted is not None:
            self.follow_file(wanted, self._asked_by_file)
        self._follow_control_socket()
        self.step()
        self.ensure_children()
        self._report()

    def handle_ttin(self) -> None:
        """SIGTTIN: one worker more, up to the largest number that settings allow."""
        self._resize(+1, "SIGTTIN")

    def handle_ttou(self) -> None:
        """SIGTTOU: one worker fewer, at least one."""
        self._resize(-1, "SIGTTOU")

    def handle_winch(self) -> None:
        """SIGWINCH: if gunicorn is a daemon, all workers retire, and the master stays."""
        if self.cfg.daemon:
            self.log.info("All workers retire; SIGHUP or SIGTTIN brings new ones")
            self.withdraw_trial("no workers are wanted")
            self.paused = True
            self.note_wanted(0)
        else:
            self.log.debug("SIGWINCH ignored. Not daemonized")

    def reload(self) -> None:
        """SIGHUP: reload the configuration and roll over to it; one that cannot be read or run changes nothing."""
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
            self.skip_trial(self._asked_by_file)
        self.paused = False
        self.switch_to(wanted, anew=True)

    def _follow(self, app: Any) -> None:
        """Apply an application's configuration to the sidecars, and watch the settings files that it names.

        Raises:
            RuntimeError: when that is impossible; nothing has changed then.
        """
        if self._sidecars is None:
            return
        files = self._sidecars.settings_files(app.cfg)
        self._sidecars.reload(app.cfg, files, _name_of(app))
        if files != self._source.paths:
            self._source = SettingsSource(files)
            self._newest_reading = self._valid_reading = None
            self._asked_by_file = None

    def trial_begins(self) -> None:
        """Spread kept connections at once, or the worker on trial gets none."""
        self._balance = Balance()

    def _report(self) -> None:
        """Publish how many workers are wanted, how many connections wait and each worker's share, also to statsd."""
        if self._switching.settled:
            serving = (each for each in self.WORKERS.values() if lifecycle.state(each) is State.READY)
            self._balance.look((each.assignment.record for each in serving), time.monotonic())
        waiting, limit = backlog(self.LISTENERS)
        limits = [waiting, limit, self.retire_limit(self.living())]
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
        """Return what the settings file asks for, if it is new and can run."""
        reading = self._source.poll()
        if reading is None:
            return None
        self._newest_reading = reading
        before = self._valid_reading
        wanted = self._candidate(reading)
        if before is not None and self._source.yields_to_earlier(before, reading):
            self._balance.give_up_nearly_all(time.monotonic())
        return wanted

    def _candidate(self, reading: Reading, number: int | None = None) -> Generation | None:
        try:
            file, origin = reading.wanted(), f"the file {reading.path}"
            settings = file.settings
            number = self.number_for(settings) if number is None else number
            wanted = generation.from_settings(self.app.cfg, settings, number, origin, self.log)
            asked = self._asked_in(file, wanted)
        except (InvalidSettings, Unusable) as fault:
            self._refuse(f"{reading.path}: {fault}")
            self.slots.server[Server.REFUSED] = 1.0
            return None
        self._valid_reading, self._asked_by_file = reading, asked
        if reading == self._newest_reading:
            self.slots.server[Server.REFUSED] = 0.0
        return wanted

    def _asked_in(self, file: SettingsFile, wanted: Generation) -> Asked | None:
        trial = file.trial
        if trial is None:
            return None
        # On one worker: two serve even if only one does otherwise.
        settings = trial.settings(trial.workers if trial.on is TrialOn.ALL else max(2, wanted.workers))
        if trial.on is TrialOn.ALL and not wanted.runs_in_place(settings):
            raise Unusable(f"trial: all workers cannot change from {wanted} to {settings} and back while they serve")
        tried = generation.from_settings(self.app.cfg, settings, wanted.number, wanted.origin, self.log)
        return Asked(trial, tried)

    def _refuse(self, fault: str) -> None:
        self.slots.count_switch("rejected")
        self.log.error("Settings refused, nothing changes: %s", fault)

    def _resize(self, more: int, origin: str) -> None:
        if self.all_are_on_trial:
            self.withdraw_trial(f"{origin} asks for another number of workers")
        workers = (0 if self.paused else self._switching.target.workers) + more
        if workers in WORKERS:
            self.paused = False
            self.switch_to(dataclasses.replace(self._switching.target.with_workers(workers), origin=origin))

    def _follow_control_socket(self) -> None:
        # Its commands for more or fewer workers only set this number, in a thread of their own.
        target = self._switching.target
        if self.num_workers != target.workers and not self.paused and not self._stopping:
            self._resize(self.num_workers - target.workers, "the control socket")
            self.note_wanted(self._switching.target.workers)

    def switched(self) -> None:
        """Note that the target is complete, and release what only the former generation used."""
        self._note_footing(self._footing, self._footing)
        super().switched()

    def rolled_back(self, failed: Generation, serving: Generation) -> None:
        """Refuse the settings that have failed; after a reload, everything that it changed is rolled back too."""
        if self._valid_reading is not None and self._valid_reading == self._newest_reading:
            self.slots.server[Server.REFUSED] = float(failed.settings != serving.settings)
        if self._footing is not self._serving_footing:
            reload.stand_on(self, self._serving_footing)
            self._note_footing(self._serving_footing, self._serving_footing)
            try:
                self._follow(self.app)
            except RuntimeError as error:
                self.log.error("Part of the former configuration is lost: %s", error)  # noqa: TRY400 (no bug of ours)

    # The sockets ------------------------------------------------------------------------------------------------------

    def _note_footing(self, wanted: Footing, serving: Footing) -> None:
        """Note what the target and the serving generation use, and close the listeners that neither needs now."""
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
    """Return the name by which the tuner identifies an app."""
    return f"{app.cfg.chdir} {app.app_uri}"
