"""Numbers from a stored state, each checked to be one that the tuner can have written."""

from __future__ import annotations

from typing import Any

from stablehand_tuner.contracts.numbers import is_number, is_whole


def number(value: Any) -> float:
    """Return a finite number.

    Raises:
        ValueError: when it is not one.
    """
    if not is_number(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def optional_number(value: Any) -> float | None:
    """Return a finite number, or None for None.

    Raises:
        ValueError: when it is neither.
    """
    return None if value is None else number(value)


def count(value: Any) -> int:
    """Return a whole number from 0 on.

    Raises:
        ValueError: when it is not one.
    """
    if not is_whole(value) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def flag(value: Any) -> bool:
    """Return true or false.

    Raises:
        ValueError: when it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004 (a fault of the stored text)
    return value
