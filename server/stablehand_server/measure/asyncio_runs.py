"""Whether the app's requests run asyncio's event loop, as `asyncio.run` and async views of WSGI frameworks do.

Two greenlets of one thread cannot both run a loop, so under gevent all but one of such requests fail. And an app that
runs one and the same loop again and again in the main thread, as `asyncio.get_event_loop()` returns it there, fails in
any other thread.
"""

from __future__ import annotations

import functools
import weakref
from _thread import get_ident  # bound before gevent patches it: it is the kernel's threads that count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULE = "asyncio.base_events"
# asyncio.run() runs a loop up to four times: the coroutine, and what it does to end the loop.
_RUNS_OF_A_LASTING_LOOP = 8


class AsyncioRuns:
    """Notes each run of a loop in this process, once the app has imported asyncio.

    Made in the main thread, also if that is the one of the parent process.

    Args:
        modules: sys.modules.
    """

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self._modules = modules
        self._main = get_ident()
        self._watches = False
        self._loop: Any = lambda: None  # a weak reference to the loop that ran last
        self._runs = 0
        self.any = False
        self.lasting = False

    def watch(self) -> None:
        """Note runs from now on, if asyncio is there; called again until it is."""
        module = self._modules.get(_MODULE)
        if self._watches or module is None or not hasattr(module, "BaseEventLoop"):
            return
        self._watches = True
        original = module.BaseEventLoop.run_forever

        @functools.wraps(original)
        def noting(loop: Any) -> Any:
            self._note(loop)
            return original(loop)

        module.BaseEventLoop.run_forever = noting

    def _note(self, loop: Any) -> None:
        self.any = True
        if get_ident() != self._main:
            return
        self._runs = self._runs + 1 if self._loop() is loop else 1
        self._loop = weakref.ref(loop)
        if self._runs >= _RUNS_OF_A_LASTING_LOOP:
            self.lasting = True
