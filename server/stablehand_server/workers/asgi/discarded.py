"""Replaces the receiver of a body that the app has left unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Discarded:
    """Receives a body that is not read."""

    buffered = 0
    expect_continue = False

    def __init__(self, on_complete: Callable[[], None], on_disconnect: Callable[[], None]) -> None:
        self._on_complete = on_complete
        self._on_disconnect = on_disconnect
        self._complete = False

    def feed(self, chunk: bytes) -> None:
        """Discard it."""

    def set_complete(self) -> None:
        """Note that the next request follows."""
        self._complete = True
        self._on_complete()

    def signal_disconnect(self) -> None:
        """Stop waiting for the rest, which cannot arrive."""
        self._on_disconnect()
