"""What a server ran when: the settings that a tuner went through, and how long until it stayed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Moment(NamedTuple):
    """What a server ran at a moment, in seconds from the beginning of the load.

    `settings` is the text of all its settings, and empty in the middle of a switch; `classes` are the worker classes
    that any of its workers had then; `slots` is how many requests it could serve at once.
    """

    at: float
    settings: str
    classes: tuple[str, ...]
    slots: float


def settled_at(timeline: Sequence[Moment]) -> float:
    """Return the first moment after which the settings stay the same for all the rest; 0 when they never changed.

    A switch that is under way is no settings of its own, but one that has not ended at the end is a change.
    """
    settled = 0.0
    running = ""
    for moment in timeline:
        if not moment.settings:
            continue
        if running and moment.settings != running:
            settled = moment.at
        running = moment.settings
    if timeline and not timeline[-1].settings:
        return timeline[-1].at
    return settled


def settings_run(timeline: Sequence[Moment]) -> list[tuple[float, str]]:
    """Return all settings with the moment at which they were first seen, in order; each return counts separately."""
    changes: list[tuple[float, str]] = []
    for moment in timeline:
        if moment.settings and (not changes or changes[-1][1] != moment.settings):
            changes.append((moment.at, moment.settings))
    return changes


def longest_stretch(timeline: Sequence[Moment], worker_class: str) -> float:
    """Return the longest time in seconds for which some worker was of a class without a break.

    The time up to the next moment without it counts, since the exact end was not observed.
    """
    longest = 0.0
    began: float | None = None
    for moment in timeline:
        if worker_class in moment.classes and began is None:
            began = moment.at
        if began is not None:
            longest = max(longest, moment.at - began)
        if worker_class not in moment.classes:
            began = None
    return longest


def most_slots(timeline: Sequence[Moment]) -> float:
    """Return the most slots that there ever were."""
    return max((moment.slots for moment in timeline), default=0.0)
