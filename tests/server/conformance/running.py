"""Run the cases of one column on both servers at once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from conformance.columns import GUNICORN, KINDS, OURS, Column
from conformance.servers import Starter, prepared, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from conformance.case import Case, Setting
    from conformance.servers import Server

_SERVERS_AT_ONCE = 6
_CLIENTS = 12
FAILED = "the case itself failed: "


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a case on either side."""

    gunicorn: str
    ours: str


def run_column(column: Column, cases: Iterable[Case], directory: Path) -> dict[str, Outcome]:
    """Return the outcome of each case that suits the column; servers work below the directory."""
    cases = [case for case in cases if column.name in case.columns and (os.getuid() == 0 or not case.needs_root)]
    sides = {kind: _Side(kind, column, directory / column.name / kind) for kind in KINDS}
    with ThreadPoolExecutor(_SERVERS_AT_ONCE) as pool:
        jobs = [pool.submit(job) for side in sides.values() for job in side.jobs(cases)]
    for job in jobs:
        job.result()
    return {case.name: Outcome(sides[GUNICORN].found[case.name], sides[OURS].found[case.name]) for case in cases}


class _Side:
    """One of the servers, with what the cases have found of it."""

    def __init__(self, kind: str, column: Column, directory: Path) -> None:
        self.found: dict[str, str] = {}
        self._kind = kind
        self._column = column
        self._directory = directory

    def jobs(self, cases: list[Case]) -> Iterator[Callable[[], None]]:
        """Return what can be done at once: all cases of a setting, one after the other if need be, or one case."""
        for setting in dict.fromkeys(case.setting for case in cases):
            of_setting = [case for case in cases if case.setting == setting]
            if setting is not None:
                yield partial(self._run_together, setting, of_setting)
            else:
                yield from (partial(self._run_alone, case) for case in of_setting)

    def _run_together(self, setting: Setting, cases: list[Case]) -> None:
        with contextlib.ExitStack() as stack:
            try:
                server = prepared(self._kind, self._column, setting, self._place(setting.name))
                stack.callback(server.end)
                server.ready()
            except Exception:  # noqa: BLE001 (it is shown as the outcome of each case)
                self.found.update(dict.fromkeys((case.name for case in cases), FAILED + traceback.format_exc()))
                return
            serial = self._column.name in setting.serial
            together = [case for case in cases if not (case.alone or case.last or serial)]
            with ThreadPoolExecutor(_CLIENTS) as clients:
                list(clients.map(lambda case: self._note(case, server), together))
            for case in sorted((case for case in cases if case not in together), key=lambda case: case.last):
                wait_until(server.answers, 60)
                self._note(case, server)

    def _run_alone(self, case: Case) -> None:
        with contextlib.ExitStack() as stack:
            self._note(case, Starter(self._kind, self._column, self._place(case.name), stack))

    def _note(self, case: Case, argument: Server | Starter) -> None:
        try:
            self.found[case.name] = case.run(argument)
        except Exception:  # noqa: BLE001 (the test of the case shows it)
            self.found[case.name] = FAILED + traceback.format_exc()

    def _place(self, name: str) -> Path:
        place = self._directory / re.sub(r"\W+", "-", name)
        place.mkdir(parents=True)
        return place


def failures(outcomes: dict[str, Outcome]) -> Iterator[str]:
    """Return the cases that could not be run on a side, with their tracebacks."""
    for name, outcome in outcomes.items():
        for text in dataclasses.astuple(outcome):
            if text.startswith(FAILED):
                yield f"{name}: {text}"
