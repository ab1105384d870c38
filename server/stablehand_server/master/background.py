"""--daemon: the command returns when the server in the background listens, or with its error.

gunicorn's command returns at once, whether or not the daemon starts. Here the daemon reports to it through a pipe. The
wait is limited, since a daemon may take long to start, for example when a large app is preloaded.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import sys
import time
from typing import NoReturn

_LONGEST_WAIT_SECONDS = 60.0
_FIRST_FREE_DESCRIPTOR = 3  # the daemon closes those before
_LONGEST_REPORT_BYTES = 64 * 1024


class Report:
    """The daemon's end of the pipe: only the first report reaches the command."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def serving(self) -> None:
        """Report that the server listens."""
        self._send(0, "")

    def failed(self, status: int, why: str) -> None:
        """Report that the server does not start, with its exit status and the reason."""
        self._send(status or 1, why)

    def _send(self, status: int, why: str) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            os.write(descriptor, json.dumps([status, why[: _LONGEST_REPORT_BYTES // 8]]).encode() + b"\n")
        except BrokenPipeError:
            return  # the command was ended, or has waited long enough
        finally:
            os.close(descriptor)


def fork() -> Report:
    """Return in a child, which is to become the daemon; this process waits for its report, and exits accordingly.

    Raises:
        OSError: when no process can be forked.
    """
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        _end_as_reported(read, child)
    os.close(read)
    if write < _FIRST_FREE_DESCRIPTOR:  # standard streams were closed
        low, write = write, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR)
        os.close(low)
    return Report(write)


def _end_as_reported(descriptor: int, child: int) -> NoReturn:
    text = _received(descriptor)
    if text is None:
        _say("The server is still starting; its log will tell")
        os._exit(0)
    try:
        status, why = json.loads(text)
    except ValueError:
        # There was no report: all that is known is that the process has ended.
        os.waitpid(child, 0)
        status, why = 1, "Error: the server ended before it listened; see its log"
    if why:
        _say(why)
    os._exit(int(status))


def _received(descriptor: int) -> bytes | None:
    """Return the report, a partial one if the daemon ends early, or None if it takes too long."""
    received = b""
    until = time.monotonic() + _LONGEST_WAIT_SECONDS
    while not received.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not readable:
            return None
        more = os.read(descriptor, _LONGEST_REPORT_BYTES)
        if not more:
            break
        received += more
    return received


def _say(words: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"\n{words}\n")
        sys.stderr.flush()
