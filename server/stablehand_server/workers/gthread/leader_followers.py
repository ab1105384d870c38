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
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

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


class _Term:
    """The time from a thread's promotion until it stops leading; `serving_since` is 0 while it waits."""

    __slots__ = ("serving_since",)

    def __init__(self) -> None:
        self.serving_since = 0.0


class LeaderFollowers:
    """At most `threads` threads, started when they are needed.

    `wait` returns what is to be served next; only the leader calls it, and it may block. It returns None to be called
    again. `serve` must not raise. `call_monitor` causes `watch` to be called soon.
    """

    def __init__(
        self,
        threads: int,
        wait: Callable[[], Any],
        serve: Callable[[Any], None],
        call_monitor: Callable[[], None],
        log: Any,
    ) -> None:
        self._threads = threads
        self._wait = wait
        self._serve = serve
        self._call_monitor = call_monitor
        self._log = log
        self._stopped = False
        self._started = 0
        self._idle = 0  # threads that sleep until they are promoted
        self._mutex = threading.Lock()  # over the counts and the term; held for microseconds
        self._leadership = threading.Lock()  # held by the leader, and released by it or by the monitor
        self._term: _Term | None = None
        self._window = _SHORTEST_WINDOW_SECONDS
        self._promote_first_until = 0.0
        self._monitor_sleeps = True
        self._looks_left = 0

    def start(self) -> None:
        """Start the first thread; the others follow when they are needed."""
        with self._mutex:
            self._start_thread()

    def grow(self, threads: int) -> None:
        """Allow more threads."""
        with self._mutex:
            self._threads = max(threads, self._threads)
            if self._idle == 0 and self._started < self._threads:
                self._start_thread()  # if there is no leader now, nothing else would check for one

    def stop(self) -> None:
        """Let every thread end after its current request; the caller must wake a leader that waits."""
        self._stopped = True

    # The monitor's side ----------------------------------------------------------------------------------------------

    def watch(self, now: float, late: float) -> float | None:
        """Promote a follower if the leader is held up; return in how many seconds to check again, or None: when called.

        `late` is how much later than requested this call comes, in seconds.
        """
        if self._threads == 1:
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

    # The threads' side -----------------------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        self._started += 1
        # A daemon, so that an endless request cannot hold up the end of the process.
        thread = threading.Thread(target=self._run, name=f"gthread-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the limit on processes: the existing threads continue
            self._started -= 1
            self._log.warning("No further thread can be started (%s); %d serve", error, self._started)

    def _run(self) -> None:
        while True:
            with self._mutex:
                self._idle += 1
            self._leadership.acquire()
            with self._mutex:
                self._idle -= 1
                term = self._term = _Term()
            if not self._lead(term):
                return

    def _lead(self, term: _Term) -> bool:
        """Serve until another thread has the leadership; return False when all threads are to end."""
        while True:
            if self._stopped:
                self._promote(term)
                return False
            try:
                task = self._wait()
            except Exception:  # noqa: BLE001 (whatever it is: without a leader, nothing would ever be served again)
                self._log.exception("Cannot wait for requests")
                time.sleep(_PAUSE_AFTER_ERROR_SECONDS)
                continue
            if task is None:
                continue
            now = time.monotonic()
            if now < self._promote_first_until:
                self._promote(term)
                self._serve(task)
                return True
            term.serving_since = now
            if self._monitor_sleeps and self._threads > 1:
                self._monitor_sleeps = False
                self._call_monitor()
            self._serve(task)
            with self._mutex:
                if self._term is not term:
                    return True
                term.serving_since = 0.0
            self._window = max(_SHORTEST_WINDOW_SECONDS, self._window * _WINDOW_DECAY)

    def _promote(self, term: _Term) -> bool:
        """Release the leadership, unless the term is already over; a sleeping thread takes it, or a new one."""
        with self._mutex:
            if self._term is not term:
                return False
            self._term = None
            if self._idle == 0 and self._started < self._threads and not self._stopped:
                self._start_thread()
        self._leadership.release()
        return True
