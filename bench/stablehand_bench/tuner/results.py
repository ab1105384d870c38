"""What is measured, one cell at a time, in a file of lines: whatever ends a run, what was measured before is kept.

The first line says how the run measures; each further line is a cell, or says how long a sitting took.
`docs/bench/tuner.json` has the same as one object. `Cell.from_mapping` is the schema: every field, and no other.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from stablehand_bench.tuner.generators import Seen

VERSION = 1
GRID, CONTEST, FLIP, STEADY = "grid", "contest", "flip", "steady"


class Key(NamedTuple):
    """What tells a cell from all others: `phase` is one of the four, `round` counts from 1."""

    phase: str
    workload: str
    load: str
    contestant: str
    round: int


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What happened while a tuner tuned: seconds from the beginning of the load.

    `timeline` has each settings that ran with its moment, `decisions` the tuner's own words. `requests` and `failed`
    are those of all the time, the measured part included. `killed_for_memory` counts workers, and under a memory limit
    every process of the server.
    """

    watched_seconds: float
    settled_seconds: float
    timeline: list[list[Any]]
    decisions: list[list[str]]
    changes: int
    rolled_back: int
    requests: int
    failed: int
    killed_for_memory: int
    gevent_seconds: float
    most_slots: float

    @property
    def last_settings(self) -> str:
        """The text of the settings at the end; empty when none were seen."""
        return str(self.timeline[-1][1]) if self.timeline else ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One contestant under one load, once.

    `seconds` is how long it was measured; `failed` counts answers that are no success, and connections that broke;
    `core_share` is what the load generator took itself of a core; `memory_bytes` is the PSS of all the server's
    processes; `backend_peak` is how many requests were at the slow backend at once, -1 without one; `failures` are the
    failed by their kind, where the load tells kinds, and `series` what was answered and what of that in time, second
    by second, where the load changes; `note` says why there is nothing, where there is nothing.
    """

    phase: str
    workload: str
    load: str
    contestant: str
    round: int
    seconds: float = 0.0
    per_second: float = 0.0
    p99_seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    core_share: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    settings: str = ""
    backend_peak: int = -1
    note: str = ""
    tuned: Tuned | None = None
    failures: dict[str, int] = dataclasses.field(default_factory=dict)
    series: list[list[int]] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return Key(self.phase, self.workload, self.load, self.contestant, self.round)

    @property
    def is_sound(self) -> bool:
        """Whether it served, and failed no request."""
        return not self.note and self.requests > 0 and self.failed == 0

    def to_mapping(self) -> dict[str, Any]:
        """Return the cell as JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, key: Key, seen: Seen, **more: Any) -> Cell:
        """Return a cell of what a generator saw; `more` wins."""
        fields = {
            "seconds": seen.seconds,
            "per_second": seen.per_second,
            "p99_seconds": seen.p99_seconds,
            "requests": seen.requests,
            "failed": seen.failed,
            "core_share": seen.core_share,
        }
        return cls(*key, **{**fields, **more})

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Cell:
        """Read what `to_mapping` wrote.

        Raises:
            BenchError: when a field is missing or unknown.
        """
        fields = {"failures": {}, "series": [], **fields}  # which were not told at first
        _require_fields(cls, fields)
        tuned = fields["tuned"]
        if tuned is not None:
            _require_fields(Tuned, tuned)
            tuned = Tuned(**tuned)
        return cls(**{**fields, "tuned": tuned})


def _require_fields(kind: Any, fields: Mapping[str, Any]) -> None:
    wanted = {field.name for field in dataclasses.fields(kind)}
    if set(fields) != wanted:
        wrong = ", ".join(sorted(wanted ^ set(fields)))
        raise BenchError(f"a {kind.__name__.lower()} has other fields than this version writes: {wrong}")


class Results:
    """The file of a run; `head` says how it measures, `cells` are those that it has."""

    def __init__(self, path: Path, head: dict[str, Any], cells: list[Cell]) -> None:
        self._path = path
        self.head = head
        self.cells = cells

    @classmethod
    def begin(cls, path: Path, head: Mapping[str, Any]) -> Results:
        """Start a new file; an existing one is kept beside it, as `.previous`: it may have taken hours."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(path.with_name(f"{path.name}.previous"))
        whole = {"version": VERSION, **head}
        path.write_text(json.dumps(whole) + "\n")
        return cls(path, whole, [])

    @classmethod
    def restore(cls, path: Path, told: Mapping[str, Any]) -> Results:
        """Begin a file with what a run has published, to go on with it where its own file is gone.

        Raises:
            BenchError: when another version has published it.
        """
        if told.get("version") != VERSION:
            raise BenchError("the published results are another version's: run without --resume")
        head = {name: value for name, value in told.items() if name not in {"version", "cells", "minutes"}}
        results = cls.begin(path, head)
        for cell in told["cells"]:
            results.add(Cell.from_mapping(cell))
        results.end(told.get("minutes", 0.0))
        return results

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file, without a last line that was cut short.

        Raises:
            BenchError: when there is none, or it is another version's.
        """
        try:
            text = path.read_text()
        except FileNotFoundError:
            raise BenchError(f"there are no results in {path}: run without --resume") from None
        whole, _, _ = text.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines or lines[0].get("version") != VERSION:
            raise BenchError(f"{path} was written by another version: run without --resume")
        head = lines[0]
        for line in lines[1:]:
            if "sitting" in line:
                head["minutes"] = round(head.get("minutes", 0.0) + line["sitting"], 1)
        results = cls(path, head, [Cell.from_mapping(line) for line in lines[1:] if "sitting" not in line])
        if text != whole + "\n":
            path.write_text(whole + "\n")
        return results

    def add(self, cell: Cell) -> None:
        """Keep a cell."""
        with self._path.open("a") as file:
            file.write(json.dumps(cell.to_mapping()) + "\n")
        self.cells.append(cell)

    def forget(self, wanted: Callable[[Cell], bool]) -> None:
        """Drop some cells, so that they are measured again."""
        self.cells = [cell for cell in self.cells if not wanted(cell)]
        written = self._path.with_name(f"{self._path.name}.new")
        written.write_text("".join(json.dumps(each) + "\n" for each in (self.head, *map(Cell.to_mapping, self.cells))))
        written.replace(self._path)

    def end(self, minutes: float) -> None:
        """Keep how long a sitting took: a run that was interrupted has several."""
        with self._path.open("a") as file:
            file.write(json.dumps({"sitting": round(minutes, 1)}) + "\n")
        self.head["minutes"] = round(self.head.get("minutes", 0.0) + minutes, 1)

    def find(self, key: Key) -> Cell | None:
        """Return a cell that was measured already."""
        return next((cell for cell in self.cells if cell.key == key), None)

    def to_mapping(self) -> dict[str, Any]:
        """Return all of it as one object of JSON."""
        return {**self.head, "cells": [cell.to_mapping() for cell in self.cells]}
