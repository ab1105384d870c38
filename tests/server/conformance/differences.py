"""The differences that are meant, or known: what is listed in differences.yaml, and what a run makes of it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.running import Outcome

FILE = Path(__file__).with_name("differences.yaml")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why some cases end otherwise here; `row` begins the line about it in docs/server.md's table of differences.

    A `defect` is one of ours that is known and not mended yet: it has no line there, and mending it fails no test.
    """

    number: int
    why: str
    row: str
    defect: bool


@dataclasses.dataclass(frozen=True)
class Difference:
    """A case that ends otherwise in some columns, and what either side may do there; * is anything."""

    case: str
    columns: tuple[str, ...]
    gunicorn: tuple[str, ...]
    ours: tuple[str, ...]
    explanation: Explanation

    def complaint(self, outcome: Outcome, *, strict: bool) -> str:
        """Return what is wrong about the outcome of a case that should differ so, empty if nothing is."""
        if outcome.gunicorn == outcome.ours:
            mended = self.explanation.defect and not strict
            may_agree = not self.explanation.defect and _allows(self.gunicorn, outcome.ours)
            if mended or (may_agree and _allows(self.ours, outcome.ours)):
                return ""
            return "is listed as a difference, and there is none any more"
        if not _allows(self.ours, outcome.ours):
            return f"ours should be {' or '.join(self.ours)}"
        if not _allows(self.gunicorn, outcome.gunicorn):
            return f"gunicorn's should be {' or '.join(self.gunicorn)}"
        return ""


@functools.cache
def listed() -> tuple[Difference, ...]:
    """Return all differences of the file."""
    return tuple(_read(yaml.safe_load(FILE.read_text())))


def find(differences: tuple[Difference, ...], case: str, column: str) -> Difference | None:
    """Return the difference that is listed for a case in a column."""
    return next((each for each in differences if each.case == case and column in each.columns), None)


def _read(entries: list[dict[str, object]]) -> Iterator[Difference]:
    for number, entry in enumerate(entries, 1):
        row, defect = entry.get("row", ""), "defect" in entry
        if bool(row) == defect:
            raise ValueError(f"entry {number} of {FILE.name} needs either row or defect")
        explanation = Explanation(number, str(entry["defect"] if defect else entry["why"]).strip(), str(row), defect)
        for each in entry["cases"]:
            yield Difference(
                each["case"], tuple(each["columns"]), _all(each["gunicorn"]), _all(each["ours"]), explanation
            )


def _allows(listed: tuple[str, ...], outcome: str) -> bool:
    return outcome in listed or listed == ("*",)


def _all(outcomes: str | list[str]) -> tuple[str, ...]:
    return (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)


def complaint(
    case: str, column: str, outcome: Outcome, differences: tuple[Difference, ...], *, strict: bool = False
) -> str:
    """Return what is wrong about an outcome, empty if it is gunicorn's or explained.

    `strict` also asks for a defect that is listed and does not occur any more to be taken off the list.
    """
    difference = find(differences, case, column)
    if difference is not None:
        return difference.complaint(outcome, strict=strict)
    return "" if outcome.gunicorn == outcome.ours else "differs from gunicorn, and no difference is listed"
