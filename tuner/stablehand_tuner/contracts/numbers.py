"""What counts as a number in JSON, whether from a user, a cluster, or another version of the tuner.

Python takes true and false for 1 and 0, and its parser lets through NaN, Infinity and whole numbers beyond any float.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeGuard


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a number that a float can hold; the range is not checked."""
    return _is_of(value, (int, float)) and abs(value) <= sys.float_info.max


def is_whole(value: Any) -> TypeGuard[int]:
    """Tell whether a value is a whole number, of any size."""
    return _is_of(value, (int,))


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
