"""Threads that call functions in the order in which they come; how many there are may change meanwhile.

The standard library's pool keeps each thread for ever, and with it what the thread keeps: a connection to a database.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.common.serving_thread import ServingThread, join_idle
from stablehand_server.workers.common.thread_limit import ThreadLimit

if TYPE_CHECKING:
    from collections.abc import Callable


class Work:
    """A call that waits for a thread, or that a thread has taken; only they refer to it."""

    __slots__ = ("__weakref__", "arguments", "function")

    def __init__(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments


class ThreadPool:
    """Started as they are needed, at most `threads` of them begin to call something."""

    def __init__(self, threads: int, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._limit = ThreadLimit(threads)
        self._waiting: deque[Work] = deque()
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each work, and for each thread to dismiss
        self._spare = 0  # threads that await a turn; negative: so many works more than those
        self._mutex = threading.Lock()  # over the limit and the number; held for microseconds

    @property
    def excused(self) -> int:
        """How many threads are in a call, but begin no other one, or have been replaced meanwhile."""
        return self._limit.excused

    def submit(self, function: Callable[..., None], *arguments: Any) -> Work:
        """Have a thread call a function, as soon as one is free.

        Raises:
            RuntimeError: when another thread is needed and none can be started; `start_missing` tries again.
        """
        work = Work(function, arguments)
        with self._mutex:
            self._waiting.append(work)
            self._spare -= 1
        self._turns.put(None)
        self.start_missing()
        return work

    def start_missing(self) -> None:
        """Start the threads that are needed.

        Raises:
            RuntimeError: when one cannot be started.
        """
        with self._mutex:
            while self._spare < 0 and self._limit.surplus < 0:
                thread = ServingThread(self._run, self._name, next(self._numbers))
                self._limit.there.add(thread)
                try:
                    thread.start()
                except RuntimeError:
                    self._limit.forget(thread)
                    raise
                self._spare += 1

    def resize(self, threads: int) -> None:
        """Allow more threads, or fewer: surplus ones end, idle ones at once, the others after their present call.

        Raises:
            RuntimeError: as `start_missing`.
        """
        with self._mutex:
            # those that serve nothing: whichever takes a turn next, also one for a work, ends instead
            idle = {each for each in self._limit.there if not each.serving_since}
            dismissed = self._limit.to_dismiss  # their turns are on the way
            self._limit.change(threads, idle)
            self._spare -= self._limit.to_dismiss - dismissed
            for _ in range(self._limit.to_dismiss - dismissed):
                self._turns.put(None)
        self.start_missing()

    def replace_detained(self, now: float) -> bool:
        """Let others take the places of threads that have been in a call for long that is older than the present limit.

        Returns:
            whether there are any such threads.

        Raises:
            RuntimeError: as `start_missing`.
        """
        if not self._limit.detains:
            return False
        with self._mutex:
            released = self._limit.release_detained(now)
        if released:
            self.start_missing()
        return released

    def end(self) -> None:
        """Let idle threads end, and wait for them, but not for those in a call, and never for long.

        What a thread keeps is to be released by the thread itself: when the interpreter ends, threads that run are
        frozen, with whatever locks they hold.
        """
        threads = tuple(self._limit.there)
        self.resize(0)
        join_idle(threads)

    def take_ended(self) -> set[ServingThread]:
        """Forget the threads that an exception has ended outside of a call, and return them."""
        ended = {thread for thread in tuple(self._limit.there) if not thread.is_alive()}
        if ended:
            with self._mutex:
                for thread in ended:
                    self._limit.forget(thread)
                idle = sum(not each.serving_since for each in self._limit.there)
                self._spare = idle - self._limit.to_dismiss - len(self._waiting)
            for _ in ended:  # which may have taken a turn with them; one too many does nothing
                self._turns.put(None)
        return ended

    def _run(self, thread: ServingThread) -> None:
        while self._take_turn(thread):
            pass

    def _take_turn(self, thread: ServingThread) -> bool:
        self._turns.get()
        with self._mutex:
            if self._limit.to_dismiss:
                self._limit.dismiss(thread)
                self._limit.forget(thread)
                return False
            if not self._waiting:  # a turn too many
                return True
            work = self._waiting.popleft()
            thread.serving_since = time.monotonic()
        work.function(*work.arguments)
        with self._mutex:
            thread.serving_since = 0.0
            self._limit.note_served(thread)
            if thread.leaving:
                self._limit.forget(thread)
                return False
            self._spare += 1
        return True
