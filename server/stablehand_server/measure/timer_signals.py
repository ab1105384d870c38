"""Whether the app's requests set a handler for a timer's signal, as time limits by `signal.alarm` do.

Only the main thread may: under a class with threads such a request fails. Handlers that are set while the app is
imported are set in the main thread under every class.
"""

from __future__ import annotations

import functools
import signal
from typing import Any

_TIMERS = frozenset({signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF})


class TimerSignals:
    """Notes handlers that are set for timers once the app has been imported; the server itself sets none."""

    def __init__(self) -> None:
        self._is_loaded = False
        self.any = False

    def watch(self) -> None:
        """Watch `signal.signal`, before the app can have imported it by name."""
        original = signal.signal

        @functools.wraps(original)
        def noting(number: Any, handler: Any) -> Any:
            if self._is_loaded and number in _TIMERS:
                self.any = True
            return original(number, handler)

        signal.signal = noting  # type: ignore[assignment]

    def loaded(self) -> None:
        """Note from now on: the app has been imported."""
        self._is_loaded = True
