"""Stored states of version 4, before there were climbs and ceilings, as the object of version 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 4
_CANARIES = frozenset({"canaryApplying", "canaryRunning"})


def converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as version 5 would have written it: no ceiling is known, and no canary is a step.

    Raises:
        KeyError, TypeError: when a field is missing or of another type.
    """
    phase = dict(fields["phase"])
    if phase["name"] in _CANARIES:
        phase["aim"] = None
    return {**fields, "version": VERSION + 1, "phase": phase, "known": {**fields["known"], "ceilings": []}}
