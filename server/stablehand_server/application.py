"""The gunicorn application: gunicorn's flags, configuration files and environment, run with live settings."""

from __future__ import annotations

import copy
import os
import sys
import traceback
from pathlib import Path

from gunicorn.app.base import BaseApplication
from gunicorn.app.wsgiapp import WSGIApplication

from stablehand_server.config import container_defaults, flags  # noqa: F401 (defining the flags registers them)
from stablehand_server.linux.cgroup import Cgroup
from stablehand_server.master.draining import DrainingArbiter
from stablehand_server.master.termination import write_termination_message
from stablehand_server.measure import access_log

_MEMORY_FILES = Path("/dev/shm")  # noqa: S108 (not for secrets: gunicorn's heartbeats, which must not wait for a disk)


class LiveBaseApplication(BaseApplication):
    """What `gunicorn.app.base.BaseApplication` is to a program that starts gunicorn by itself, with live settings.

    It also stands behind gunicorn's own applications, whose run() ends in that of their base.
    """

    app_uri: str | None = None  # where load() takes the app from; a program may have other ways

    def run(self) -> None:
        """Serve until a signal ends it."""
        try:
            access_log.configure(self.cfg)
            arbiter = DrainingArbiter(self)
            arbiter.log.info("Found %s", container_defaults.of_this_process())
            warning = container_defaults.warning_of_memory(Cgroup.of_this_process())
            if warning is not None:
                arbiter.log.info("%s", warning)
            arbiter.run()
        except RuntimeError as error:
            write_termination_message(str(error))
            sys.stderr.write(f"\nError: {error}\n")
            sys.stderr.flush()
            sys.exit(1)
        except Exception as error:  # an app that is preloaded, and does not import
            write_termination_message(traceback.format_exception_only(error)[-1].strip())
            raise

    def reloaded(self) -> LiveBaseApplication:
        """Return this application as its configuration is now, without changing the one that runs.

        Raises:
            Exception: whatever is wrong with the configuration; SystemExit where gunicorn says so itself.
        """
        scratch = copy.copy(self)
        scratch.callable = None
        scratch.load_default_config()
        scratch.load_config()
        scratch.cfg.validate()
        access_log.configure(scratch.cfg)
        return scratch


class LiveApplication(WSGIApplication, LiveBaseApplication):
    """What `gunicorn module:app` is, with live settings and metrics."""

    def load_default_config(self) -> None:
        """Take gunicorn's defaults, but for two that do not suit containers."""
        super().load_default_config()
        # A socket in a home directory that a container has not, or may not write to; here settings have their own way.
        self.cfg.set("control_socket_disable", True)
        if _MEMORY_FILES.is_dir() and os.access(_MEMORY_FILES, os.W_OK):
            self.cfg.set("worker_tmp_dir", str(_MEMORY_FILES))

    def load_config(self) -> None:
        """Read flags, environment and configuration file; whoever names a control socket gets one."""
        unnamed = self.cfg.control_socket
        super().load_config()
        if self.cfg.control_socket != unnamed:
            self.cfg.set("control_socket_disable", False)
