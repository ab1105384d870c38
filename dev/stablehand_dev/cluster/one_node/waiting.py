"""Waits for a condition with a time limit, and fails early when it can no longer come true."""

import time
from collections.abc import Callable

from stablehand_dev.errors import DevelopmentError

_PAUSE_S = 0.2


def wait_until(
    condition: Callable[[], bool], *, what: str, timeout: float, still_possible: Callable[[], None] = lambda: None
) -> None:
    """Return when the condition holds.

    Args:
        condition: asked about five times a second.
        what: what is waited for, for the error.
        timeout: seconds.
        still_possible: raises once waiting is pointless.

    Raises:
        DevelopmentError: the time is up.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        still_possible()
        if time.monotonic() > deadline:
            raise DevelopmentError(f"{what}: not so within {timeout:g} s")
        time.sleep(_PAUSE_S)
