"""--autotune on a terminal: a table that shows what the server runs, how it does, and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stablehand_tuner.decision import Action

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stablehand_server.autotune.view import View
    from stablehand_tuner.decision import Decision

_UNKNOWN = "–"
_COLUMNS = ("class", "workers", "threads", "slots", "busy", "CPU share", "requests/s", "p99", "reason")
_STYLES = {Action.APPLY: "bold cyan", Action.KEEP: "bold green", Action.ROLL_BACK: "bold red"}


class LiveTable:
    """Tells by a table that is drawn anew in its place."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False)
        self._live.start()
        # This process is ended without a last word, and the terminal should not be left without a cursor.
        self._live.console.show_cursor()

    def show(self, view: View) -> None:
        """Draw the table."""
        self._live.update(render(view), refresh=True)


def render(view: View) -> RenderableType:
    """Return the table, and below it the last decisions."""
    table = Table(*_COLUMNS, box=box.SIMPLE_HEAD)
    table.add_row(*_cells(view))
    return Group(table, Text(view.decision.message), *map(_line, view.decisions))


def _cells(view: View) -> list[str]:
    seen, settings = view.observation, view.settings
    reason = view.decision.reason.value
    if seen is None:
        return [*[_UNKNOWN] * (len(_COLUMNS) - 1), reason]
    runs = [_UNKNOWN] * 3 if settings is None else [str(settings.worker_class), settings.workers, settings.threads]
    share, p99 = seen.cpu_share, seen.p99_seconds
    return [
        *map(str, runs),
        f"{seen.slots:.0f}",
        f"{seen.in_app:.1f}",
        _UNKNOWN if share is None else f"{share:.0%}",
        f"{seen.requests_per_second:.1f}",
        _UNKNOWN if p99 is None else f"{p99 * 1000:.0f} ms",
        reason,
    ]


def _line(decision: Decision) -> Text:
    what = str(decision.action) if decision.settings is None else f"{decision.action} {decision.settings}"
    return Text.assemble((what, _STYLES.get(decision.action, "dim")), f"  {decision.message}")
