"""Processes that the app forks from its worker: by os.fork, multiprocessing, pty.fork, or subprocess with preexec_fn.

Such a process has a copy of the worker, and shares with it what the kernel has only once: the record in the shared
memory, the heartbeat file, the epoll with the listeners and connections, the pipe that wakes the loop at a signal. When
it returns from the app, or handles a signal, gunicorn's code goes on with all that. So each worker gives it up in the
process that has been forked. The master's own forks are not concerned: only a worker watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_server.workers.common.base import MeasuredWorker

_LOOK_SECONDS = 0.05


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


class LoopInChild:
    """asyncio's loop in such a process, which had the worker's selector and the pipe that wakes it.

    Timers and tasks go on, on a selector of their own: what the app has begun may need them. Connections and listeners
    are left to the worker. uvloop makes itself a new epoll at a fork.
    """

    def __init__(self, loop: Any, seconds: float) -> None:
        """Part the loop from the worker's.

        Args:
            loop: asyncio's or uvloop's.
            seconds: for which the task that has forked may go on.
        """
        self._forking = asyncio.current_task(loop)
        self._until = loop.time() + seconds
        self._loop = loop
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 (the worker goes on with it)
        shared = getattr(loop, "_selector", None)
        if shared is None:
            return
        for key in list(shared.get_map().values()):
            for handle in key.data:
                if handle is not None:
                    handle.cancel()  # it may be about to run
        shared.close()
        loop._selector = selectors.DefaultSelector()  # noqa: SLF001 (there is no public way)
        loop._close_self_pipe()  # noqa: SLF001
        loop._make_self_pipe()  # noqa: SLF001

    async def end(self) -> None:
        """End the process when the task that has forked is done, which may have ended it by itself.

        Raises:
            SystemExit: then.
        """
        while self._forking is not None and not self._forking.done() and self._loop.time() < self._until:
            # Python says that no loop runs in a process that was forked: so asyncio.sleep would fail.
            moment = self._loop.create_future()
            self._loop.call_later(_LOOK_SECONDS, moment.set_result, None)
            await moment
        raise SystemExit(0)
