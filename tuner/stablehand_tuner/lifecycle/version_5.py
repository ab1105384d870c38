"""Stored states of version 5, before there were trials on one worker, as the object of version 6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 5


def converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as version 6 would have written it: nothing was tried on one worker yet.

    Raises:
        KeyError, TypeError: when a field is missing or of another type.
    """
    known = {**fields["known"], "several": None, "tries": []}
    return {**fields, "version": VERSION + 1, "known": known, "history": {**fields["history"], "trialId": 0}}
