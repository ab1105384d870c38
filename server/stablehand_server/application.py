"""The gunicorn application: gunicorn's flags, configuration files and environment, run with live settings."""

from __future__ import annotations

import copy
import os
import sys
import traceback
from pathlib import Path
from typing import ClassVar

from stablehand_server.config import container_defaults, flags, given, startup_faults
from stablehand_server.gunicorn_internals.application import BaseApplication, WSGIApplication
from stablehand_server.linux.cgroup import Cgroup
from stablehand_server.master import background, generation
from stablehand_server.master.draining import DrainingArbiter
from stablehand_server.master.termination import write_termination_message
from stablehand_server.measure import access_log

_MEMORY_FILES = Path("/dev/shm")  # noqa: S108 (not for secrets: gunicorn's heartbeats, which must not wait for a disk)


class LiveBaseApplication(BaseApplication):
    """The counterpart of `gunicorn.app.base.BaseApplication`, for programs that start gunicorn themselves.

    It also is the base of gunicorn's own applications, whose run() ends in that of their base.
    """

    app_uri: str | None = None  # where load() takes the app from; a program may have other ways
    has_command_line: ClassVar[bool] = False  # whether the process's arguments are flags of gunicorn's
    _command: background.Report | None = None  # --daemon: the command that waits for this process to listen
    _master = 0

    def load_default_config(self) -> None:
        """Use gunicorn's defaults, in a configuration that records what is set after this."""
        self.cfg = given.RecordingConfig(self.usage, prog=self.prog)

    def do_load_config(self) -> None:
        """Load the configuration; an error in it ends the process with a message, written where errors are logged."""
        try:
            self.load_default_config()
            self.load_config()
            self.cfg.validate()
        except Exception as error:  # noqa: BLE001 (as gunicorn has it)
            self._tell(str(error))
            sys.exit(1)

    def run(self) -> None:
        """Serve until a signal ends it."""
        self._master = os.getpid()
        try:
            access_log.configure(self.cfg)
            arbiter = DrainingArbiter(self)
            arbiter.log.info("Found %s", container_defaults.of_this_process())
            warning = container_defaults.warning_of_memory(Cgroup.of_this_process())
            if warning is not None:
                arbiter.log.info("%s", warning)
            arbiter.run()
        except RuntimeError as error:
            self._tell(str(error))
            sys.exit(1)
        except SystemExit as end:
            # Once the arbiter listens, the command no longer waits; before that, gunicorn has logged why it failed.
            status = end.code if isinstance(end.code, int) else 1
            self._report(status, "Error: the server ended before it listened; see its log")
            raise
        except Exception as error:  # an app that is preloaded, and does not import
            write_termination_message(traceback.format_exception_only(error)[-1].strip())
            startup_faults.log(self.cfg, traceback.format_exc().rstrip(), command_line=self.has_command_line)
            self._report(1, traceback.format_exc())
            raise

    def started(self) -> None:
        """Report to the waiting command, if there is one, that the server listens."""
        if self._command is not None:
            self._command.serving()

    def _tell(self, why: str) -> None:
        """Report why the server does not start: on stderr, in the log, to Kubernetes, and to the waiting command."""
        write_termination_message(why)
        startup_faults.log(self.cfg, why, command_line=self.has_command_line)
        self._report(1, f"Error: {why}")
        sys.stderr.write(f"\nError: {why}\n")
        sys.stderr.flush()

    def _report(self, status: int, why: str) -> None:
        if self._command is not None and os.getpid() == self._master:  # not what it has forked
            self._command.failed(status, why)

    def reloaded(self) -> LiveBaseApplication:
        """Return this application with its current configuration, without changing the one that runs.

        Raises:
            Exception: whatever is wrong with the configuration; SystemExit where gunicorn itself exits.
        """
        scratch = copy.copy(self)
        scratch.callable = None
        scratch.load_default_config()
        scratch.load_config()
        scratch.cfg.validate()
        access_log.configure(scratch.cfg)
        return scratch


class LiveApplication(WSGIApplication, LiveBaseApplication):
    """The counterpart of `gunicorn module:app`, with live settings and metrics."""

    has_command_line = True

    def load_default_config(self) -> None:
        """Use gunicorn's defaults, except for two that do not suit containers."""
        self.cfg = flags.ServerConfig(self.usage, prog=self.prog)
        # A socket in a home directory that a container has not, or may not write to; here settings have their own way.
        self.cfg.set("control_socket_disable", True)
        if _MEMORY_FILES.is_dir() and os.access(_MEMORY_FILES, os.W_OK):
            self.cfg.set("worker_tmp_dir", str(_MEMORY_FILES))

    def load_config(self) -> None:
        """Read flags, environment and configuration file; the control socket is on only if it is named."""
        unnamed = self.cfg.control_socket
        super().load_config()
        if self.cfg.control_socket != unnamed:
            self.cfg.set("control_socket_disable", False)

    def run(self) -> None:
        """Check or print the configuration, or serve, in the background if asked to."""
        if self.cfg.check_config:
            self._refuse_unusable_class()
        in_background = self.cfg.daemon and not (self.cfg.check_config or self.cfg.print_config)
        if in_background and "GUNICORN_FD" not in os.environ:  # else it is a daemon already
            self._command = background.fork()
        super().run()

    def _refuse_unusable_class(self) -> None:
        for path in (self.cfg.pythonpath or "").split(","):  # as gunicorn does before it serves
            if path and str(Path(path).absolute()) not in sys.path:
                sys.path.insert(0, str(Path(path).absolute()))
        try:
            generation.from_configuration(self.cfg, 1, self.cfg.logger_class(self.cfg))
        except generation.Unusable as fault:
            self._tell(str(fault))
            sys.exit(1)
