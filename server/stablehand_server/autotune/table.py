"""--autotune on a terminal: a table that shows what the server runs, how it does, and what was decided.

It is printed again when something has changed, below everything that was printed before. A table that is redrawn in
place would erase what the master and the workers, which are other processes, have logged to the same terminal
meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from stablehand_tuner.decision import Action

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stablehand_server.autotune.view import View
    from stablehand_tuner.decision import Decision

_UNKNOWN = "–"
_COLUMNS = ("class", "workers", "threads", "slots", "busy", "CPU share", "requests/s", "p99")
_STYLES = {Action.APPLY: "bold cyan", Action.KEEP: "bold green", Action.ROLL_BACK: "bold red"}


class NewsTable:
    """Prints a table for each new decision."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def show(self, view: View) -> None:
        """Print the table if the decision is new."""
        if not view.is_news:
            return
        with self._console.capture() as printed:
            self._console.print(render(view))
        # In one write: what other processes write meanwhile comes before it or after it.
        self._console.file.write(printed.get())
        self._console.file.flush()


def render(view: View) -> RenderableType:
    """Return the table, and below it the decision with its reason; text is wrapped, never truncated."""
    table = Table(*(Column(name, overflow="fold") for name in _COLUMNS), box=box.SIMPLE_HEAD)
    table.add_row(*_cells(view))
    return Group(table, _line(view.decision))


def _cells(view: View) -> list[str]:
    seen, settings = view.observation, view.settings
    if seen is None:
        return [_UNKNOWN] * len(_COLUMNS)
    runs = [_UNKNOWN] * 3 if settings is None else [str(settings.worker_class), settings.workers, settings.threads]
    share, p99 = seen.cpu_share, seen.p99_seconds
    return [
        *map(str, runs),
        f"{seen.slots:.0f}",
        f"{seen.in_app:.1f}",
        _UNKNOWN if share is None else f"{share:.0%}",
        f"{seen.requests_per_second:.1f}",
        _UNKNOWN if p99 is None else f"{p99 * 1000:.0f} ms",
    ]


def _line(decision: Decision) -> Text:
    what = str(decision.action) if decision.settings is None else f"{decision.action} {decision.settings}"
    style = _STYLES.get(decision.action, "dim")
    return Text.assemble((what, style), f"  {decision.message} [{decision.reason.value}]", overflow="fold")
