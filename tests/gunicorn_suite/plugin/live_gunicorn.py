"""A pytest plugin that puts our arbiter, applications and worker classes where gunicorn's tests look for gunicorn's.

It is loaded before any of those tests is imported. Tests that start `python -m gunicorn` start our command instead.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from typing import Any
from unittest import mock

import gunicorn.app.base
import gunicorn.app.wsgiapp
import gunicorn.arbiter
from gunicorn.config import Config
from suite_arbiter import SuiteArbiter
from suite_workers import placed

from stablehand_server import workers
from stablehand_server.application import LiveApplication, LiveBaseApplication

_GUNICORN = ["-m", "gunicorn"]
_OURS = ["-m", "stablehand_server.cli"]
_PIPE_BYTES = 1 << 20
_CLASSES = ("sync", "gthread", "gevent", "tornado", "asgi")


class LiveApplicationBase(gunicorn.app.base.Application, LiveBaseApplication):
    """gunicorn's application with flags and configuration files, run by our arbiter."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Starts our command where gunicorn's is meant, with metrics on a port of its own."""

    def __init__(self, args: Any, *others: Any, **named: Any) -> None:
        if isinstance(args, list) and args[1:3] == _GUNICORN:
            args = [args[0], *_OURS, "--metrics-bind", f"127.0.0.1:{_free_port()}", *args[3:]]
        super().__init__(args, *others, **named)
        for output in (self.stdout, self.stderr):  # our log says more, and the tests read it only in the end
            if output is not None:
                fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


_wait4 = os.wait4


def _wait4_or_mocked_waitpid(pid: int, options: int) -> tuple[int, int, Any]:
    """Return what a test lets os.waitpid answer: our arbiter asks os.wait4, which also tells the CPU time."""
    if isinstance(os.waitpid, mock.NonCallableMock):
        return (*os.waitpid(pid, options), mock.Mock(ru_utime=0.0, ru_stime=0.0))
    return _wait4(pid, options)


os.wait4 = _wait4_or_mocked_waitpid
subprocess.Popen = _Popen  # type: ignore[misc]
sys.modules["gunicorn.arbiter"].Arbiter = SuiteArbiter  # type: ignore[attr-defined]
gunicorn.app.base.BaseApplication = LiveBaseApplication
gunicorn.app.base.Application = LiveApplicationBase
gunicorn.app.wsgiapp.WSGIApplication = LiveApplication
for _name in _CLASSES:
    _config = Config()
    _config.set("worker_class", _name)
    _theirs = _config.worker_class
    setattr(sys.modules[_theirs.__module__], _theirs.__name__, placed(workers.implementation(_config)))
