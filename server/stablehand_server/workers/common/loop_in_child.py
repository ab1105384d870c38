"""asyncio's loop in a process that the app has forked from its worker: see `app_forks`."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

_LOOK_SECONDS = 0.05


class LoopInChild:
    """The loop, which had the worker's selector and the pipe that wakes it.

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
