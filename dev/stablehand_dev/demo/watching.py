"""The main loop of both demonstrations: load the app, read its state and show it until it has settled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stablehand_dev.demo.display import Display
from stablehand_dev.demo.figures import Figures, compare
from stablehand_dev.demo.settling import Settling
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.load import BackgroundLoad, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from stablehand_dev.demo.reading import Reading

CONNECTIONS = 64
_GRACE_SECONDS = 30.0  # the load is bounded by itself, too, should this process be stopped


class NotSettledError(DevelopmentError):
    """The app did not settle in time."""


class RequestsFailedError(DevelopmentError):
    """Some requests failed: exactly what must not happen."""


def watch(
    console: Console, url: str, read: Callable[[], Reading], *, quiet: float, longest: float, every: float
) -> Figures:
    """Load the app, show what it does, and return the figures once it has settled.

    Args:
        console: where to show it.
        url: what to request.
        read: looks at the app once.
        quiet: seconds without a decision after which the app has settled.
        longest: seconds after which it is given up.
        every: seconds between two looks.

    Raises:
        NotSettledError: it did not settle in time; the figures so far are in the text.
    """
    settling = Settling(quiet)
    first = last = None
    first_change = settled_since = 0.0
    decisions = 0
    with BackgroundLoad(Load(url, CONNECTIONS, duration=longest + _GRACE_SECONDS)) as load:
        began = time.monotonic()
        with Display(console).shown() as display:
            settled = False
            while not settled:
                time.sleep(every)
                elapsed = time.monotonic() - began
                reading = read()
                first, last = first or reading.settings, reading.settings or last
                if not reading.changed:
                    first_change = elapsed
                if len(reading.decisions) != decisions:
                    decisions, settled_since = len(reading.decisions), elapsed
                failed = sum(second.failed for second in load.series)
                display.show(elapsed, reading, load.last(3), failed)
                settled = settling.settled(elapsed, reading)
                if not load.running:
                    load.stop()  # raises with what it said
                if not settled and elapsed > longest:
                    so_far = load.stop()
                    raise NotSettledError(f"not settled after {longest:.0f} s, last: {reading.message}. {so_far}")
        result = load.stop()
    return compare(result, first_change, settled_since, first, last)
