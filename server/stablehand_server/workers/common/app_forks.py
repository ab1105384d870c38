"""Processes that the app forks from its worker: by os.fork, multiprocessing, pty.fork, or subprocess with preexec_fn.

Such a process has a copy of the worker, and shares with it what the kernel has only once: the record in the shared
memory, the heartbeat file, the epoll with the listeners and connections, the pipe that wakes the loop at a signal. When
it returns from the app, or handles a signal, gunicorn's code goes on with all that. So each worker gives it up in the
process that has been forked. The master's own forks are not concerned: only a worker watches.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_server.workers.common.base import MeasuredWorker


def watch(worker: MeasuredWorker) -> None:
    """Call the worker's `become_apps_child` in each process that is forked from this one from now on."""
    watched = weakref.ref(worker)
    os.register_at_fork(after_in_child=lambda: _after_fork(watched))


def _after_fork(watched: weakref.ref[MeasuredWorker]) -> None:
    worker = watched()
    if worker is None:
        return
    # Python writes a signal's number there before any handler runs: the worker's loop would take it for its own.
    signal.set_wakeup_fd(-1)
    worker.become_apps_child()


def end_without_main_thread(status: int = 0) -> None:
    """End such a process when the request that has forked is over, in a thread of a pool: there is no other one.

    gunicorn's gthread waits for the next request there, which nobody has to give, and so for ever.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or with nobody who reads
            stream.flush()
    os._exit(status)


def disconnect(descriptors: Iterable[int]) -> None:
    """Put a socket without a peer in the place of each: no code that runs on here can write to the worker's clients."""
    dead, other = socket.socketpair()
    with dead, other:
        for descriptor in descriptors:
            if descriptor >= 0:
                os.dup2(dead.fileno(), descriptor, inheritable=False)
