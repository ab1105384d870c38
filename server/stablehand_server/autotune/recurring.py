"""Faults that the tuner finds again in each round, such as a full disk: each is logged when it begins, and its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

logger = logging.getLogger(__name__)


class RecurringFault:
    """What keeps one thing from working.

    Args:
        end: what is logged when it works again.
    """

    def __init__(self, end: str) -> None:
        self._end = end
        self._logged: Hashable | None = None

    def found(self, message: str, *arguments: object, error: OSError) -> None:
        """Log the fault, unless it is the one that was found last: the same message, arguments and kind of error."""
        # Not the error's own words: they may contain the name of a temporary file.
        fault = (message, arguments, error.errno)
        if fault != self._logged:
            self._logged = fault
            logger.error(message, *arguments, error)

    def not_found(self) -> None:
        """Log that it works again, if it did not."""
        if self._logged is not None:
            self._logged = None
            logger.info("%s", self._end)
