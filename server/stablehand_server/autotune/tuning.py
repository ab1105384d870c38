"""--autotune: the tuner for this one server. It scrapes over loopback, decides, and writes the settings file.

The server watches the file and carries the settings out; the next scrapes show the result.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Protocol

from stablehand_server.autotune import files
from stablehand_server.autotune.recurring import RecurringFault
from stablehand_server.autotune.view import View
from stablehand_server.linux import procfs
from stablehand_server.linux.cgroup import Cgroup
from stablehand_tuner.controller import step
from stablehand_tuner.decision import Action
from stablehand_tuner.observe.observation import CounterReset, observe
from stablehand_tuner.observe.trial_seen import observe_trial
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.settings_file import SettingsFile
    from stablehand_tuner.contracts.trial import Trial
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.snapshot import Snapshot
    from stablehand_tuner.policy import Policy

logger = logging.getLogger(__name__)

_SERVER = "this server"
_SCRAPES_A_WINDOW = 4.0
_SHORTEST_INTERVAL_SECONDS, _LONGEST_INTERVAL_SECONDS = 0.5, 2.0
_SECONDS_BETWEEN_CHECKS = 0.25  # of the master
_FAILURES_BEFORE_WARNING = 3  # the exporter needs a moment to start or restart
_DECISIONS_KEPT = 5
_NICENESS = 10  # where cores are short the workers take precedence: a decision can wait, a request should not


class Reporter(Protocol):
    """Reports to the user."""

    def show(self, view: View) -> None:
        """Report one tick."""


class Tuning:
    """Runs the tuner for one server: scrape, observe, step, carry out.

    Args:
        policy: what the tuner may do.
        settings_path: the file that the server watches.
        state_path: where the tuner's state is stored across restarts, or None.
        scrape: returns a snapshot at a moment; raises an exception of `failures` when there is none.
        failures: the type of that exception.
        app: what identifies the app: what was learned from another one is forgotten.
        memory_bytes: the memory that the machine has available for the server, a limit like that of a cgroup; None if
            unknown.
        memory_kills: returns the kernel's counts of processes that were killed for want of memory, by cgroup.
    """

    def __init__(
        self,
        policy: Policy,
        settings_path: Path,
        state_path: Path | None,
        scrape: Callable[[float], Snapshot],
        failures: type[Exception],
        *,
        app: str,
        memory_bytes: float | None,
        memory_kills: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._policy = policy
        self._settings_path = settings_path
        self._state_path = state_path
        self._scrape = scrape
        self._failures = failures
        self._memory_bytes = memory_bytes
        self._memory_kills = memory_kills
        self._failed = 0
        self._earlier: Snapshot | None = None
        self._last: Decision | None = None
        self._runs: Settings | None = None
        self._on_trial: Trial | None = files.read_trial(settings_path)  # as the file has it
        self._state_fault = RecurringFault("The tuner's state can be written again")
        self._settings_fault = RecurringFault("The settings can be written again")
        self._decisions: collections.deque[Decision] = collections.deque(maxlen=_DECISIONS_KEPT)
        self.state = files.read_state(state_path).for_image(app)

    def learn_from_last_run(self, now: float) -> None:
        """Count it against the settings that ran if the kernel killed the whole server for want of memory.

        No process was left to report it; but the kernel's counts of kills are higher than those stored with the state.

        Args:
            now: Unix time, for the state.
        """
        last = files.read_last_run(self._state_path)
        if last is None or not last.was_killed(self._memory_kills()):
            return
        logger.warning("The kernel has killed this server for want of memory while it ran %s", last.settings)
        state, decisions = step(self._policy, self.state, {}, now, killed={_SERVER: last.settings})
        try:
            files.write_state(self._state_path, state, files.LastRun(last.settings, self._memory_kills()))
        except OSError as error:
            logger.warning("That is ignored while the tuner's state cannot be written: %s", error)
            return
        self.state = state
        for decision in decisions:
            if decision.changes_settings:
                logger.warning("%s: %s", decision.action, decision.message)
        self._carry_out(decisions)

    def tick(self, at: float, now: float) -> View | None:
        """Do one round; None before there are two scrapes to compare, or when the state cannot be stored.

        Args:
            at: seconds on a monotonic clock, for measuring.
            now: Unix time, for the state.
        """
        earlier = self._earlier
        later = self._scraped(at)
        if earlier is None:
            return None
        observation = None if later is None else _observed(earlier, later)
        report = None if later is None else observe_trial(earlier, later)
        trials = {} if report is None else {_SERVER: report}
        state, decisions = step(self._policy, self.state, {_SERVER: observation}, now, trials=trials)
        try:
            # before anything is carried out: after a crash, the next start finds what was decided and completes it
            files.write_state(self._state_path, state, self._running(later))
        except OSError as error:
            self._state_fault.found("Nothing is decided while the tuner's state cannot be written: %s", error=error)
            return None
        self._state_fault.not_found()
        self.state = state
        self._carry_out(decisions)
        decision = decisions[-1]
        is_news = self._is_news(decision)
        self._last = decision
        if is_news and decision.action is not Action.HOLD:
            self._decisions.appendleft(decision)
        running = None if observation is None else observation.settings_active
        return View(running, observation, decision, tuple(self._decisions), is_news)

    def _scraped(self, at: float) -> Snapshot | None:
        try:
            later = self._scrape(at)
        except self._failures as error:
            self._failed += 1
            if self._failed == _FAILURES_BEFORE_WARNING:
                logger.warning("No metrics to tune by: %s", error)
            return None
        if self._failed >= _FAILURES_BEFORE_WARNING:
            logger.info("There are metrics to tune by again")
        self._failed = 0
        self._earlier = later = self._within_machine(later)
        return later

    def _running(self, snapshot: Snapshot | None) -> files.LastRun | None:
        """Return what the next start should know about this run if it is killed."""
        if snapshot is not None and snapshot.settings_active is not None:
            self._runs = snapshot.settings_active
        return None if self._runs is None else files.LastRun(self._runs, self._memory_kills())

    def _within_machine(self, snapshot: Snapshot) -> Snapshot:
        limits = [each for each in (snapshot.memory_limit_bytes, self._memory_bytes) if each is not None]
        return dataclasses.replace(snapshot, memory_limit_bytes=min(limits, default=None))

    def _carry_out(self, decisions: Sequence[Decision]) -> None:
        """Write what should run, and what should be tried beside it, or take out a trial that is over."""
        wanted = self.state.file
        changes = any(each.changes_settings for each in decisions)
        if wanted is not None and (changes or wanted.trial is not None or self._on_trial is not None):
            self._write(wanted)

    def _write(self, wanted: SettingsFile) -> None:
        try:
            files.replace(self._settings_path, wanted.to_json() + "\n")
        except OSError as error:  # the next tick tries again
            self._settings_fault.found("The settings %s cannot be written: %s", wanted.settings, error=error)
        else:
            self._settings_fault.not_found()
            self._on_trial = wanted.trial

    def _is_news(self, decision: Decision) -> bool:
        """Return whether a decision differs from the last: a change under way is decided again until it is done."""
        last = self._last
        if decision.reason is Reason.CLIMBING:
            return False  # the step was news
        if last is None or (last.action, last.reason) != (decision.action, decision.reason):
            return True
        return decision.action is not Action.HOLD and decision.settings != last.settings


class Log:
    """Reports by the log: a line for each new decision."""

    def show(self, view: View) -> None:
        """Write the line."""
        if not view.is_news:
            return
        decision = view.decision
        if decision.settings is None:
            logger.info("%s: %s [%s]", decision.action, decision.message, decision.reason)
        else:
            logger.info("%s %s: %s [%s]", decision.action, decision.settings, decision.message, decision.reason)


def run(
    address: tuple[str, int],
    settings_path: Path,
    state_path: Path | None,
    policy: Policy,
    *,
    app: str,
    parent_pid: int,
    become: Callable[[], None] = lambda: None,
) -> None:
    """Tune until the parent has changed: the main of a child process of the master.

    Args:
        address: where the exporter listens.
        settings_path: the file to write settings to, which the server watches.
        state_path: where to store the tuner's state across restarts, or None.
        policy: what the tuner may do.
        app: what identifies the app.
        parent_pid: the master's process id.
        become: drops this process's privileges as soon as its modules are imported, which the unprivileged user may not
            be able to read.
    """
    # In this process only: the app may want to configure prometheus_client, by its environment, before importing it.
    from stablehand_server.autotune.scrape import ScrapeFailed, scrape  # noqa: PLC0415

    reporter = _reporter()
    become()
    # A service manager signals the whole process group; this process ends when the master does, without an error.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(_NICENESS)
    _log_to_stderr()
    for path in (settings_path, state_path):
        if path is not None and not files.can_be_replaced(path):
            user = f"user {os.geteuid()}, group {os.getegid()}"
            logger.error(
                "%s cannot be written (by %s): name one in a folder where it can, or nothing is tuned", path, user
            )
    # Read once, before there are many workers: otherwise the limit would vary with the memory of other processes.
    memory = procfs.available_bytes()
    tuning = Tuning(
        policy,
        settings_path,
        state_path,
        lambda at: scrape(address, at),
        ScrapeFailed,
        app=app,
        memory_bytes=memory,
        memory_kills=Cgroup.of_this_process().out_of_memory_record,
    )
    tuning.learn_from_last_run(time.time())
    interval = scrape_interval(policy)
    due = time.monotonic()
    while os.getppid() == parent_pid:
        now = time.monotonic()
        if now < due:
            time.sleep(min(due - now, _SECONDS_BETWEEN_CHECKS))
            continue
        view = tuning.tick(now, time.time())
        due = max(due + min(interval, tuning.state.scrape_within or interval), now)
        if view is not None:
            reporter.show(view)


def scrape_interval(policy: Policy) -> float:
    """Return the seconds between two scrapes: some to each decision window."""
    asked = policy.windows.decision_seconds / _SCRAPES_A_WINDOW
    return min(_LONGEST_INTERVAL_SECONDS, max(_SHORTEST_INTERVAL_SECONDS, asked))


def _observed(earlier: Snapshot, later: Snapshot) -> Observation | None:
    try:
        return observe(earlier, later)
    except CounterReset as reset:
        logger.info("%s", reset)
        return None


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    form = "[%(asctime)s] [%(process)d] [%(levelname)s] autotune: %(message)s"  # as gunicorn writes its lines
    handler.setFormatter(logging.Formatter(form, "%Y-%m-%d %H:%M:%S %z"))
    package = logging.getLogger(__package__)
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    package.propagate = False


def _reporter() -> Reporter:
    if sys.stderr.isatty():
        try:
            from stablehand_server.autotune.table import NewsTable  # noqa: PLC0415 (rich is an extra)
        except ImportError:
            return Log()
        return NewsTable()
    return Log()
