"""A child process of the master that is not a worker: the exporter, the tuner, a probe. Restarted when it dies."""

from __future__ import annotations

import os
import signal
import time
import traceback
from typing import TYPE_CHECKING, Any

from stablehand_server.master.backoff import GrowingPause

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 30.0
_LOOK_SECONDS = 0.005
_STEADY_SECONDS = 60.0  # after so long the next restart is quick again


class ChildProcess:
    """Forks `main` and, when `supervised`, does so again whenever it ends, with growing pauses.

    The child has the default signal handlers, runs `main`, and exits through os._exit, so none of the master's clean-up
    runs in it. `main` itself returns when its parent has changed.

    Args:
        name: its name in the log.
        main: what the child runs.
        log: gunicorn's logger.
        supervised: whether it is restarted.
        fork: forks, where os.fork is not enough.
        end_signal: asks the child to exit; None kills it.
        longest_end_seconds: how long it may then take before it is killed.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[], None],
        log: Any,
        *,
        supervised: bool = True,
        fork: Callable[[], int] | None = None,
        end_signal: signal.Signals | None = None,
        longest_end_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self._fork = fork
        self._end_signal = end_signal
        self._longest_end_seconds = longest_end_seconds
        self.pid = 0
        self._main = main
        self._log = log
        self._supervised = supervised
        self._started_at = 0.0
        self._pause = GrowingPause(_SHORTEST_RESTART_SECONDS, _LONGEST_RESTART_SECONDS)
        self._ended = False

    def ensure(self) -> None:
        """Start the child if it should run and doesn't."""
        now = time.monotonic()
        if self.pid or self._ended or not self._pause.over(now):
            return
        try:
            pid = (self._fork or os.fork)()
        except OSError as error:  # no process or no memory for one: keep serving
            self._pause.failed(now)
            self._log.error("The %s cannot be started (%s); trying again", self.name, error)
            return
        self._started_at = now
        if pid:
            self.pid = pid
            return
        status = 1
        try:
            _become_ordinary()
            self._main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 (the last frame of a process: say it and go)
            traceback.print_exc()
        finally:
            os._exit(status)

    def reaped(self, pid: int, status: int) -> bool:
        """Return whether the process that ended was this one; if so, note it."""
        if pid != self.pid:
            return False
        self.pid = 0
        now = time.monotonic()
        if now - self._started_at > _STEADY_SECONDS:
            self._pause.succeeded()
        self._pause.failed(now)
        self._ended = not self._supervised
        if self._supervised:
            self._log.error("The %s (pid:%s) ended with %s; starting it again", self.name, pid, _in_words(status))
        return True

    def stop(self) -> None:
        """End the child permanently, and wait for it."""
        self._ended = True
        self._end()

    def restart(self) -> None:
        """End the child, and wait for it; the next `ensure` restarts it."""
        self._end()
        self._pause.reset()

    def _end(self) -> None:
        if not self.pid:
            return
        try:
            if self._end_signal is None or not self._ended_by_itself(self._end_signal):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return  # gone, or reaped with the others
        finally:
            self.pid = 0

    def _ended_by_itself(self, end_signal: signal.Signals) -> bool:
        os.kill(self.pid, end_signal)
        until = time.monotonic() + self._longest_end_seconds
        while time.monotonic() < until:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return True
            time.sleep(_LOOK_SECONDS)
        return False


def _become_ordinary() -> None:
    for name in ("TERM", "CHLD"):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_DFL)
    # A terminal or a service manager may signal the whole group: the master decides how its children react.
    for name in ("HUP", "INT", "QUIT", "TTIN", "TTOU", "USR1", "USR2", "WINCH"):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def _in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"
