"""Which package imports which: between the distributions, and between the parts inside one of them.

A part is a direct member of a distribution's package: a folder, or a single module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grimp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PACKAGES = ("stablehand_dev", "stablehand_operator", "stablehand_server", "stablehand_simulator", "stablehand_tuner")

Arrows = dict[str, frozenset[str]]


class Imports:
    """The imports of all distributions, imports for type checkers included."""

    def __init__(self) -> None:
        self._graph = grimp.build_graph(*PACKAGES, cache_dir=None)

    def between_packages(self) -> Arrows:
        """Return which distributions each distribution imports."""
        return self._arrows(PACKAGES, depth=1)

    def between_parts(self, package: str) -> Arrows:
        """Return which parts of a distribution each of its parts imports."""
        parts = self._graph.find_children(package) - {f"{package}.__main__"}  # another name for the command
        return self._arrows(parts, depth=2)

    def is_folder(self, part: str) -> bool:
        """Return whether a part is a folder of modules."""
        return bool(self._graph.find_children(part))

    def _arrows(self, places: Collection[str], depth: int) -> Arrows:
        found: dict[str, set[str]] = {place: set() for place in sorted(places)}
        for module in self._graph.modules:
            place = _place(module, depth)
            for imported in self._graph.find_modules_directly_imported_by(module):
                other = _place(imported, depth)
                if place in found and other in found and other != place:
                    found[place].add(other)
        return {place: frozenset(others) for place, others in found.items()}


def without_detours(arrows: Mapping[str, Collection[str]]) -> Arrows:
    """Return the arrows without those that a longer way implies (the transitive reduction).

    Raises:
        ValueError: when the arrows run in a circle.
    """
    below = {place: _reached(arrows, place) for place in arrows}
    circle = sorted(place for place, reached in below.items() if place in reached)
    if circle:
        raise ValueError(f"imports run in a circle through {', '.join(circle)}")
    return {
        place: frozenset(other for other in others if not any(other in below[between] for between in others))
        for place, others in arrows.items()
    }


def _reached(arrows: Mapping[str, Collection[str]], start: str) -> frozenset[str]:
    reached: set[str] = set()
    ahead = list(arrows[start])
    while ahead:
        place = ahead.pop()
        if place not in reached:
            reached.add(place)
            ahead.extend(arrows[place])
    return frozenset(reached)


def _place(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:depth])
