"""SIGTERM in a worker whose app has set a handler of its own.

gunicorn leaves the signal to the app's handler. One that calls sys.exit drops in-flight requests under most classes,
and one that only sets a flag leaves the worker serving until it is killed. Here the worker retires first; the app's
handler is called too, once, and what it raises does not end the worker early.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int, Any], Any]

_OF_ASYNCIO = "_sighandler_noop"  # there the signal arrives through the loop's own handler


class _RetireFirst:
    """A handler that calls the worker's, and then the app's."""

    def __init__(self, retire: Handler, of_app: Handler, log: Any) -> None:
        self._retire = retire
        self._of_app: Handler | None = of_app
        self._log = log

    def __call__(self, number: int, frame: Any) -> None:
        self._retire(number, frame)
        of_app, self._of_app = self._of_app, None  # the signal may come again
        if of_app is None:
            return
        try:
            of_app(number, frame)
        except Exception:  # noqa: BLE001 (the app's own code)
            self._log.exception("The app's handler of SIGTERM failed")
        except BaseException as end:  # noqa: BLE001 (SystemExit and KeyboardInterrupt: the worker ends anyway)
            self._log.debug("The app's handler of SIGTERM raised %r; the requests in flight are finished first", end)


def retire_first(retire: Handler, log: Any) -> None:
    """Install the worker's handler before one that the app has set since the last call; main thread only."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or handler == retire or isinstance(handler, _RetireFirst):
        return
    if getattr(handler, "__name__", "") == _OF_ASYNCIO:
        return
    signal.signal(signal.SIGTERM, _RetireFirst(retire, handler, log))
    signal.siginterrupt(signal.SIGTERM, False)
