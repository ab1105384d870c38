"""What the app runs besides its requests: threads and schedulers of its own, processes, event loops.

It is looked at every few seconds. What the app has started when it was imported runs once in each process: with more
processes, more often.
"""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_server.measure.asyncio_runs import AsyncioRuns
from stablehand_server.measure.persistent_connections import keeps_connections
from stablehand_server.measure.timer_signals import TimerSignals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_TASKS = Path("/proc/self/task")
# Threads of a pool wait for work that somebody gives them: they do nothing of their own accord.
_POOLS = ("ThreadPoolExecutor", "asyncio_", "wsgi", "gthread-")
_SCHEDULER = "scheduler"


class AppRuns:
    """What has been found so far; what was found once stays found.

    Args:
        modules: sys.modules.
        watches_loops: whether event loops that run are the app's own, as under classes that have none, and requests
            are served outside of one.
    """

    def __init__(self, modules: Mapping[str, Any], *, watches_loops: bool) -> None:
        self._modules = modules
        self._loops = AsyncioRuns(modules)
        self._timers = TimerSignals()
        self._watches_loops = watches_loops
        self._seen: set[int] = set()
        self._found: set[str] = set()

    def before_loading(self) -> None:
        """Prepare for what the app may import by name."""
        if self._watches_loops:
            self._timers.watch()

    def look_at_requests(self) -> bool:
        """Note what requests do from now on, and return whether something new is known of them.

        Called when the app has been loaded and then several times a second: the tuner may decide after few requests.
        """
        if not self._watches_loops:
            return False
        self._timers.loaded()
        self._loops.watch()
        known = len(self._found)
        if self._loops.any:
            self._found.add("event_loop")
        if self._loops.lasting:
            self._found.add("lasting_event_loop")
        if self._timers.any:
            self._found.add("timer_signals")
        return len(self._found) > known

    @property
    def found(self) -> frozenset[str]:
        """What the app runs, in the words of APP_RUNS."""
        return frozenset(self._found)

    def look(self, *, at_threads: bool = True) -> None:
        """Look at everything again.

        Args:
            at_threads: not where the app has replaced them: to list them takes a lock, which may then never be free.
        """
        self.look_at_requests()
        if at_threads:
            self._look_at_threads(threading.enumerate())
        if keeps_connections(self._modules):
            self._found.add("persistent_connections")
        if "child_processes" not in self._found and has_children():
            self._found.add("child_processes")

    def _look_at_threads(self, threads: Iterable[threading.Thread]) -> None:
        """Find threads that were there at the last look: one that a request starts and awaits is rarely one of them."""
        own = {id(each): each for each in threads if _is_apps(each)}
        for each in (own[key] for key in own.keys() & self._seen):
            self._found.add("threads")
            if _SCHEDULER in each.name.lower():
                self._found.add("scheduler")
        self._seen = set(own)


def _is_apps(thread: threading.Thread) -> bool:
    if thread is threading.main_thread() or isinstance(thread, threading._DummyThread):  # noqa: SLF001 (not public)
        return False
    return not thread.name.startswith(_POOLS)


def has_children(tasks: Path = _TASKS) -> bool:
    """Return whether this process has child processes, or had any for whose end it has waited."""
    if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss:
        return True
    try:
        return any((task / "children").read_bytes().strip() for task in tasks.iterdir())
    except OSError:  # not reported here, or a thread that has just ended
        return False
