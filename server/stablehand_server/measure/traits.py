"""What workers find out about the app, as one number in the shared mapping: a bit for each trait that has a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.contracts import metric_names as names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Each metric and the values that its label can take; a float holds 53 bits.
_VALUES: Mapping[names.Metric, tuple[str, ...]] = {
    names.APP_PATCHED_INFO: names.PATCHING_LIBRARIES,
    names.IMPORTED_EARLY_INFO: names.EARLY_PACKAGES,
    names.APP_RUNS_INFO: names.APP_RUNS,
}
_PLACES = {
    trait: place
    for place, trait in enumerate((metric, value) for metric, values in _VALUES.items() for value in values)
}
METRICS = tuple(_VALUES)


def bitmap(metric: names.Metric, values: Iterable[str]) -> int:
    """Return the bits of a metric's values."""
    return sum(1 << _PLACES[metric, value] for value in set(values))


def has(metric: names.Metric, value: str, found: int) -> bool:
    """Return whether a bitmap has the bit of a value."""
    return bool(found & 1 << _PLACES[metric, value])


def values(metric: names.Metric, found: int) -> list[str]:
    """Return the values of a metric in a bitmap."""
    return [value for value in _VALUES[metric] if has(metric, value, found)]
