"""The live table: a row for each of the settings that the app has run, the last one moving.

Without a terminal it is plain lines: every decision at once, the rest every few seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from stablehand_dev.demo.reading import Decided, Reading
    from stablehand_dev.load import LoadResult

_COLUMNS = (
    "since",
    "class",
    "workers",
    "threads",
    "slots",
    "busy",
    "CPU share",
    "requests/s",
    "p99",
    "failed",
    "reason",
)
_STYLES = {"apply": "bold cyan", "keep": "bold green", "roll_back": "bold red"}
_UNKNOWN = "–"
_SECONDS_BETWEEN_LINES = 5.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: since when (seconds), what was read, what the load measured lately, failures so far."""

    since: float
    reading: Reading
    load: LoadResult
    failed: int

    def cells(self) -> list[str]:
        """Return the line's texts, one for each column."""
        reading, settings = self.reading, self.reading.settings
        runs = (settings.worker_class, settings.workers, settings.threads) if settings else (_UNKNOWN,) * 3
        return [
            f"{self.since:.0f} s",
            *map(str, runs),
            _UNKNOWN if reading.slots is None else f"{reading.slots:.0f}",
            _UNKNOWN if reading.busy is None else f"{reading.busy:.1f}",
            _UNKNOWN if reading.cpu_share is None else f"{reading.cpu_share:.0%}",
            f"{self.load.requests_per_second:.1f}",
            latency(self.load.p99),
            str(self.failed),
            reading.reason or _UNKNOWN,
        ]


class Display:
    """Shows reading after reading. On a terminal the table is drawn in place; elsewhere lines are added."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[Row] = []
        self._live: Live | None = None
        self._printed_at = float("-inf")
        self._decisions_printed = 0

    @contextlib.contextmanager
    def shown(self) -> Iterator[Display]:
        """Keep the table on the terminal as long as the context lasts; its last state stays."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield self

    def show(self, elapsed: float, reading: Reading, load: LoadResult, failed: int) -> None:
        """Show one reading, `elapsed` seconds after the load began; `load` is what it measured lately."""
        self._take(elapsed, reading, load, failed)
        if self._live is not None:
            self._live.update(self.render(), refresh=True)
            return
        for decided in reading.decisions[self._decisions_printed :]:
            self._console.print(f"{elapsed:4.0f} s  {_sentence(decided)}", markup=False, soft_wrap=True)
        self._decisions_printed = len(reading.decisions)
        if elapsed - self._printed_at >= _SECONDS_BETWEEN_LINES:
            self._printed_at = elapsed
            named = zip(_COLUMNS[1:], self._rows[-1].cells()[1:], strict=True)
            line = "  ".join(f"{name} {cell}" for name, cell in named)
            self._console.print(f"{elapsed:4.0f} s  {line}", markup=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """Return the table, what is going on now, and the decisions so far."""
        table = Table(*_COLUMNS, box=box.SIMPLE_HEAD)
        for row in self._rows:
            table.add_row(*row.cells(), style="" if row is self._rows[-1] else "dim")
        last = self._rows[-1].reading
        decisions = (Text(_sentence(each), style=_STYLES.get(each.action, "")) for each in last.decisions)
        return Group(table, Text(last.message), Text(), *decisions)

    def _take(self, elapsed: float, reading: Reading, load: LoadResult, failed: int) -> None:
        """Move the last row, or begin a new one when the app runs other settings."""
        last = self._rows[-1] if self._rows else None
        if last is None or last.reading.settings is None:
            self._rows[-1:] = [Row(last.since if last else elapsed, reading, load, failed)]
        elif reading.settings is None or _leaving(reading):
            # During a change, measurements belong to no row: only the list of decisions is updated.
            kept = dataclasses.replace(
                last.reading, reason=reading.reason, message=reading.message, decisions=reading.decisions
            )
            self._rows[-1] = dataclasses.replace(last, reading=kept, failed=failed)
        elif reading.settings == last.reading.settings:
            self._rows[-1] = Row(last.since, reading, load, failed)
        else:
            self._rows.append(Row(elapsed, reading, load, failed))


def _leaving(reading: Reading) -> bool:
    """Whether other settings than those that run were decided on: what the status tells lags behind the load."""
    last = reading.decisions[-1] if reading.decisions else None
    return last is not None and last.action in {"apply", "roll_back"} and last.settings != str(reading.settings)


def latency(seconds: float | None) -> str:
    """Return a latency for display."""
    if seconds is None:
        return _UNKNOWN
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _sentence(decided: Decided) -> str:
    """Return what was decided, and why."""
    return f"{decided.action.replace('_', ' ')} {decided.settings}: {decided.message}"
