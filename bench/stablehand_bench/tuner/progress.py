"""How far a run is: a bar on a terminal, a line for each cell elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import progress as rich_progress
from rich.console import Console

if TYPE_CHECKING:
    from types import TracebackType

    from stablehand_bench.tuner.plan import Plan
    from stablehand_bench.tuner.results import Key


class Progress:
    """Reports each cell; a context manager."""

    def __init__(self, plan: Plan, cores: int) -> None:
        self._console = Console(stderr=True)
        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
        )
        self._bar = rich_progress.Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        total = plan.cells(cores) if "contest" in plan.parts else 0
        total += plan.flips * ("flip" in plan.parts) + 2 * ("steady" in plan.parts)
        self._task = self._bar.add_task("starting", total=total)
        self._console.print(f"bench: {total} cells, about {plan.seconds(cores) / 60:.0f} minutes", highlight=False)

    def __enter__(self) -> Progress:  # noqa: PYI034 (typing.Self needs Python 3.11)
        """Show it."""
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Leave the last state."""
        self._bar.stop()

    def told(self, key: Key, done: bool) -> None:  # noqa: FBT001 (called by position)
        """Report that a cell starts, or that it is done."""
        text = f"{key.phase} {key.workload}, {key.load}: {key.contestant}, round {key.round}"
        if done:
            self._bar.advance(self._task)
        elif self._console.is_terminal:
            self._bar.update(self._task, description=text)
        else:
            self._console.print(f"bench: {text}", highlight=False, soft_wrap=True)
