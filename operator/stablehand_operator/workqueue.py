"""A queue of keys: each is processed by one worker at a time, however often it is added meanwhile.

The pattern is that of Kubernetes' own controllers: an event only triggers the work, which reads the current state. A
key whose work fails is added again after a wait that doubles each time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound="Hashable")

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0


class RetryLater(Exception):  # noqa: N818 (a request of the work, not an error in itself)
    """Raised by the work when it has to be repeated; the message says why."""


class WorkQueue(Generic[Key]):
    """Keys to work on; `workers` of them at once."""

    def __init__(self, work: Callable[[Key], Awaitable[None]], *, workers: int = 4) -> None:
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Queue the key."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that no longer exists."""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        workers = [asyncio.create_task(self._serve(), name=f"reconciler {each}") for each in range(self._workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            for timer in self._timers.values():
                timer.cancel()

    async def _serve(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                await self._work(key)
            except RetryLater as reason:
                logger.warning("%s: %s; trying again", key, reason)
                self._later(key)
            except Exception:
                logger.exception("%s: unexpected error; trying again", key)
                self._later(key)
            else:
                self.forget(key)
            finally:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _later(self, key: Key) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**failures)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(wait, self.add, key)
