"""Threads that take turns, so that short requests never wait for the GIL and long ones never hold up others.

The Leader/Followers pattern (Schmidt, Stal, Rohnert, Buschmann: Pattern-Oriented Software Architecture 2, 2000): one
thread, the leader, waits for whatever is ready and serves it itself; the others sleep. No request is passed from one
thread to another.

In the pattern a leader promotes a follower before it serves. With a GIL that causes a convoy: the two wake each other
at every system call, and only one of them may run. So here a leader keeps the leadership while it serves, as long as
its requests are short, and one thread works like a sync worker. If a request takes longer than `PATIENCE_SECONDS`, the
monitor promotes a follower in its place. It does not while the monitor itself runs late: then a thread computes under
the GIL, and a second thread could only slow down both; this exception is limited in time, or a short request would wait
for a long one. After a promotion, leaders promote before they serve, as in the pattern, for a time that grows while
requests turn out to be long: requests that wait for a database incur the patience only occasionally.

An exception may end a thread anywhere: one that an app raises in another thread (PyThreadState_SetAsyncExc, as
decorators that limit a function's time do) may arrive after the request has been served. So the other threads depend on
nothing that a thread must do before it ends: the term names its thread, the lock that the others sleep on only tells
them to check for a leader, and the monitor replaces a thread that is no longer alive.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from stablehand_server.workers.common.serving_thread import ServingThread, join_idle
from stablehand_server.workers.common.thread_limit import ThreadLimit
from stablehand_server.workers.gthread.forked_child import end_with

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 0.001
_COMPUTING_PATIENCE_SECONDS = 0.02
_LATE_SECONDS = 0.003  # more than a scheduler's usual delay, less than the GIL's switch interval of 5 ms
_SHORTEST_WINDOW_SECONDS = 0.01  # for how long leaders promote before they serve
_LONGEST_WINDOW_SECONDS = 0.1
_WINDOW_DECAY = 0.9  # for each request that was served within the patience
_PAUSE_AFTER_ERROR_SECONDS = 0.1
_IDLE_LOOKS = 5  # before the monitor sleeps until it is called
_SECONDS_BETWEEN_WARNINGS = 10.0


class _Term:
    """The time from a thread's promotion until it stops leading; `serving_since` is 0 while it waits."""

    __slots__ = ("serving_since", "thread")

    def __init__(self, thread: threading.Thread) -> None:
        self.serving_since = 0.0
        self.thread = thread


class LeaderFollowers:
    """Threads that are started when they are needed, of which at most `threads` begin to serve something.

    `wait` returns what is to be served next; only the leader calls it, and it may block. It returns None to be called
    again. `serve` serves it. Both are called with the current thread. `recover` cleans up after a thread that an
    exception has ended, and is told whether it was the leader: there is no other one until it returns. `call_monitor`
    causes `watch` to be called soon.
    """

    def __init__(
        self,
        threads: int,
        wait: Callable[[threading.Thread], Any],
        serve: Callable[[threading.Thread, Any], None],
        *,
        recover: Callable[[threading.Thread, bool], None],
        call_monitor: Callable[[], None],
        log: Any,
    ) -> None:
        self._wait = wait
        self._serve = serve
        self._recover = recover
        self._call_monitor = call_monitor
        self._log = log
        self._stopped = False
        self.is_forked_child = False  # set in a process that a request has forked
        self._numbers = itertools.count(1)
        self._limit = ThreadLimit(threads)
        self._idle: set[ServingThread] = set()  # those that sleep until they are promoted
        self._mutex = threading.Lock()  # over the threads and the term; held for microseconds
        self._call = threading.Lock()  # idle threads sleep on it; released only with the mutex
        self._call.acquire()
        self._term: _Term | None = None
        self._window = _SHORTEST_WINDOW_SECONDS
        self._promote_first_until = 0.0
        self._monitor_sleeps = True
        self._looks_left = 0
        self._is_short = False  # a thread could not be started
        self._warn_at = 0.0

    def prepare(self) -> None:
        """Start the first thread, which sleeps until `start`; the others follow when they are needed.

        Raises:
            RuntimeError: when no thread can be started: nothing would ever be served.
        """
        with self._mutex:
            self._start_thread()
            if not self._limit.there:
                raise RuntimeError("no thread can be started")

    def start(self) -> None:
        """Let the first thread serve."""
        with self._mutex:
            self._wake_one()

    def resize(self, threads: int) -> None:
        """Allow more threads, or fewer; the caller must wake a leader that waits, which may be surplus."""
        with self._mutex:
            self._limit.change(threads, self._idle)
            if self._limit.to_dismiss:
                self._wake_one()
            elif self._may_start:
                self._start_thread()  # if there is no leader now, nothing else would check for one

    def stop(self) -> None:
        """Let every thread end after its current request; the caller must wake a leader that waits."""
        self._stopped = True

    def join(self) -> None:
        """Wait for the threads that end because of `stop`, but not for those that still serve, and never for long.

        What a thread keeps is to be released by the thread itself: when the interpreter ends, threads that run are
        frozen, with whatever locks they hold.
        """
        join_idle(tuple(self._limit.there))

    # The monitor's side ----------------------------------------------------------------------------------------------

    def watch(self, now: float, late: float) -> float | None:
        """Promote a follower if the leader is held up; return in how many seconds to check again, or None: when called.

        `late` is how much later than requested this call comes, in seconds.
        """
        if self._is_single:
            return None
        term = self._term
        since = 0.0 if term is None else term.serving_since
        if term is None or not since:
            return self._look_again()
        self._looks_left = _IDLE_LOOKS
        computing = late >= _LATE_SECONDS
        if now - since < (_COMPUTING_PATIENCE_SECONDS if computing else PATIENCE_SECONDS):
            return _LATE_SECONDS if computing else PATIENCE_SECONDS
        if self._promote(term) and not computing:
            self._promote_first_until = time.monotonic() + self._window
            self._window = min(2 * self._window, _LONGEST_WINDOW_SECONDS)
        return self._look_again()

    def _look_again(self) -> float | None:
        if self._looks_left > 0:
            self._looks_left -= 1
            return PATIENCE_SECONDS
        self._monitor_sleeps = True
        # A leader that started to serve before it could see that has not called the monitor.
        term = self._term
        if term is not None and term.serving_since:
            self._monitor_sleeps = False
            self._looks_left = _IDLE_LOOKS
            return PATIENCE_SECONDS
        return None

    def replace_ended(self) -> bool:
        """Replace the threads that an exception has ended; return whether there were any."""
        if self._stopped:
            return False
        with self._mutex:  # no thread is about to start then, which is not alive yet
            ended = [thread for thread in self._limit.there if not thread.is_alive()]
        for thread in ended:
            self._log.error("Thread %s was ended by an exception: another one takes its place", thread.name)
            with self._mutex:
                term = self._term
            led = term is not None and term.thread is thread
            self._recover(thread, led)
            with self._mutex:
                self._idle.discard(thread)
                self._limit.forget(thread)
                if led:
                    self._term = None
                self._call_someone()
        return bool(ended)

    def make_up(self) -> bool:
        """Start a thread that is needed and could not be started before; return whether one was tried."""
        if not self._is_short or self._stopped:
            return False
        with self._mutex:
            self._is_short = False
            self._call_someone()
        return True

    def replace_detained(self, now: float) -> bool:
        """Let others take the places of threads that serve for long what they did when their number fell.

        Returns:
            whether there are any such threads.
        """
        if not self._limit.detains or self._stopped:
            return False
        with self._mutex:
            released = self._limit.release_detained(now)
            if released:
                self._call_someone()
        return released

    @property
    def _is_single(self) -> bool:
        """Whether there is one thread, and never a second one."""
        return self._limit.threads == 1 and len(self._limit.there) == 1

    # The threads' side -----------------------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        thread = ServingThread(self._run, "gthread", next(self._numbers))
        self._limit.there.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # the limit on processes: the existing threads continue
            self._limit.there.discard(thread)
            self._is_short = True
            now = time.monotonic()
            if now >= self._warn_at:
                self._warn_at = now + _SECONDS_BETWEEN_WARNINGS
                there = len(self._limit.there)
                self._log.warning("No further thread can be started (%s); %d serve", error, there)

    def _call_someone(self) -> None:
        """Have a thread take the leadership if it is free, a new one if none is idle; to be called with the mutex."""
        if self._term is not None:
            return
        if self._may_start:
            self._start_thread()
        self._wake_one()

    @property
    def _may_start(self) -> bool:
        return not self._idle and self._limit.surplus < 0 and not self._stopped

    def _wake_one(self) -> None:
        """Wake an idle thread, or the next that becomes idle, unless that was done already; to be called as above."""
        if self._call.locked():
            self._call.release()

    def _run(self, thread: ServingThread) -> None:
        error: BaseException | None = None
        try:
            while self._take_turn(thread):
                pass
        except BaseException as raised:
            if not self.is_forked_child:
                raise
            error = raised
        if self.is_forked_child:
            end_with(error, self._log)

    def _take_turn(self, thread: ServingThread) -> bool:
        """Sleep until called, and lead if no other thread does; return False when this thread is to end."""
        with self._mutex:
            self._limit.note_served(thread)
            if thread.leaving:
                self._call_someone()
                self._limit.forget(thread)  # last: if an exception comes before, the monitor does all this
                return False
            self._limit.there.add(thread)
            self._idle.add(thread)
        self._call.acquire()
        with self._mutex:
            self._idle.discard(thread)
            if self._limit.to_dismiss:
                self._limit.dismiss(thread)
                self._call_someone()
                if self._limit.to_dismiss:
                    self._wake_one()
                self._limit.forget(thread)
                return False
            if self._term is not None:
                return True
            term = self._term = _Term(thread)
        return self._lead(thread, term)

    def _lead(self, thread: ServingThread, term: _Term) -> bool:
        """Serve until another thread has the leadership, or this one is surplus; return False when all are to end."""
        while True:
            if self._stopped or thread.leaving:
                self._promote(term)
                return not self._stopped
            try:
                task = self._wait(thread)
            except Exception:  # noqa: BLE001 (whatever it is: without a leader, nothing would ever be served again)
                self._log.exception("Cannot wait for requests")
                self._recover(thread, True)
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
                continue
            if task is None:
                continue
            now = thread.serving_since = time.monotonic()
            if now < self._promote_first_until:
                self._promote(term)
                self._serve(thread, task)
                thread.serving_since = 0.0
                return not self.is_forked_child
            term.serving_since = now
            if self._monitor_sleeps and not self._is_single:
                self._monitor_sleeps = False
                self._call_monitor()
            self._serve(thread, task)
            thread.serving_since = 0.0
            if self.is_forked_child:
                return False  # the mutex may be held by a thread that is not there
            with self._mutex:
                if self._term is not term:
                    return True
                term.serving_since = 0.0
                self._limit.note_served(thread)
            self._window = max(_SHORTEST_WINDOW_SECONDS, self._window * _WINDOW_DECAY)

    def _promote(self, term: _Term) -> bool:
        """Release the leadership, unless the term is already over; a sleeping thread takes it, or a new one."""
        with self._mutex:
            if self._term is not term:
                return False
            self._term = None
            self._call_someone()
        return True
