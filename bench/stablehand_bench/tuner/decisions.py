"""What `--autotune` says that it did, from the server's log. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(
    r"autotune: (?P<action>apply|keep|roll_back|hold)(?: (?P<settings>[^:]+))?: (?P<message>.*) \[(?P<reason>\w+)\]$",
    re.MULTILINE,
)
_STEPS = frozenset({"NextStep", "StepBack"})


class Decision(NamedTuple):
    """A line of the log; `settings` is empty for a hold."""

    action: str
    settings: str
    message: str
    reason: str


def parse(log: str) -> list[Decision]:
    """Return all decisions that a log tells of, in their order."""
    return [
        Decision(found["action"], found["settings"] or "", found["message"], found["reason"])
        for found in _LINE.finditer(log)
    ]


def changes(decisions: list[Decision]) -> int:
    """Return how many changes began: what is taken back was begun before, and a climb is one, whatever its steps."""
    return sum(decision.action == "apply" and decision.reason not in _STEPS for decision in decisions)


def rolled_back(decisions: list[Decision]) -> int:
    """Return how many changes were taken back."""
    return sum(decision.action == "roll_back" for decision in decisions)
