"""Reports progress and durations on standard error: with a spinner on a terminal, as plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

_HEARTBEAT_S = 30.0

console = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print one plain line."""
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show that something is under way, and its duration when it is done.

    On a terminal a spinner turns; in a log a line is added every half minute, so that a long build does not look stuck.
    """
    begun = time.monotonic()
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        say(f"{text} ...")
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_HEARTBEAT_S):
                say(f"{text} ... {time.monotonic() - begun:.0f} s so far")

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
    say(f"{text}: done in {time.monotonic() - begun:.1f} s")
