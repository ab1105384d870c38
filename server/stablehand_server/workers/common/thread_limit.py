"""How many of a worker's threads may begin to serve something: a limit that may change while they serve.

When it falls, surplus threads end: idle ones at once, others after the request that they serve. The oldest stay, which
are the most likely to have what a thread keeps, such as a connection to a database. One that stays may serve an old
request for long, so after a while another thread may take its place until then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_server.workers.common.serving_thread import ServingThread

_LONG_SECONDS = 1.0  # after which another thread may take the place of one that serves an old request


class ThreadLimit:
    """Keeps account of the threads; each method is to be called with a lock of the caller's.

    Attributes:
        threads: the limit.
        there: the threads.
        to_dismiss: how many of those that are idle are to end: one that is woken ends if this is not zero.
        detains: whether there may be threads that serve what they did when the limit fell.
        excused: how many threads do not count, for they leave, or others have their places.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.there: set[ServingThread] = set()
        self.to_dismiss = 0
        self.detains = False
        self.excused = 0

    @property
    def surplus(self) -> int:
        """How many threads that may begin to serve something are too many; negative if there are too few."""
        return len(self.there) - self.excused - self.to_dismiss - self.threads

    def change(self, threads: int, idle: Collection[ServingThread]) -> None:
        """Set the limit, and choose which threads stay."""
        now = time.monotonic()
        self.threads = threads
        there = sorted(self.there, key=lambda each: (each.has_served_for(now, _LONG_SECONDS), each.number))
        staying, surplus = there[:threads], there[threads:]
        for thread in staying:
            thread.leaving = False
            if not surplus:
                thread.detained = thread.released = False
            elif thread.serving_since and not thread.detained:
                thread.detained, thread.detained_at = True, now
        self.detains = any(thread.detained for thread in staying)
        for thread in surplus:
            thread.leaving = thread not in idle
        self.to_dismiss = sum(thread in idle for thread in surplus)
        self._count_excused()

    def dismiss(self, thread: ServingThread) -> None:
        """Have an idle thread end, one of those that are to be dismissed."""
        self.to_dismiss -= 1
        thread.leaving = True
        self._count_excused()

    def note_served(self, thread: ServingThread) -> None:
        """Note that a thread has served its request; it leaves if it was detained, and others have its place."""
        if not thread.detained:
            return
        thread.detained = thread.released = False
        self._count_excused()
        if self.surplus > 0:
            thread.leaving = True
            self._count_excused()

    def release_detained(self, now: float) -> bool:
        """Let others take the places of threads that have served an old request for long; return whether any may."""
        detained = [thread for thread in self.there if thread.detained and not thread.released]
        long = [thread for thread in detained if now - thread.detained_at >= _LONG_SECONDS]
        for thread in long:
            thread.released = True
        self.detains = len(detained) > len(long)
        self._count_excused()
        return bool(long)

    def forget(self, thread: ServingThread) -> None:
        """Note that a thread is there no more."""
        self.there.discard(thread)
        self._count_excused()

    def _count_excused(self) -> None:
        self.excused = sum(thread.leaving or thread.released for thread in self.there)
