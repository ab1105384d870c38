"""Before and after: what the clients saw under the first settings, and under the last."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from stablehand_dev.demo.display import latency

if TYPE_CHECKING:
    from rich.console import Console

    from stablehand_dev.load import LoadResult
    from stablehand_tuner.contracts.settings import Settings


@dataclasses.dataclass(frozen=True)
class Figures:
    """The whole run, and its two parts; settings are None where they could not be read."""

    whole: LoadResult
    before: LoadResult
    after: LoadResult
    first: Settings | None
    last: Settings | None

    @property
    def gain(self) -> float | None:
        """The throughput after, as a multiple of the one before; None when there was none."""
        start = self.before.requests_per_second
        return self.after.requests_per_second / start if start else None


def compare(
    whole: LoadResult, first_change: float, settled: float, first: Settings | None, last: Settings | None
) -> Figures:
    """Return the figures of a run.

    Args:
        whole: what the load measured.
        first_change: seconds from the load's beginning to the first change.
        settled: seconds from the load's beginning from which on nothing changed any more.
        first: the settings at the beginning.
        last: the settings at the end.
    """
    # The first second of either part is left out where there is more: it holds the transition's requests.
    before = whole.between(1 if first_change > 2 else 0, int(first_change))  # noqa: PLR2004 (one to leave, one to keep)
    after = whole.between(int(settled) + 1, int(whole.seconds))
    return Figures(whole, before, after, first, last)


def show(console: Console, figures: Figures) -> None:
    """Print the comparison, and every failure that there was."""
    table = Table("", "settings", "requests/s", "p50", "p99", box=box.SIMPLE_HEAD)
    for name, part, settings in (
        ("before", figures.before, figures.first),
        ("after", figures.after, figures.last),
    ):
        rate, p50, p99 = f"{part.requests_per_second:.1f}", latency(part.p50), latency(part.p99)
        table.add_row(name, str(settings or "–"), rate, p50, p99)
    console.print(table)
    gain = figures.gain
    if gain is not None:
        console.print(f"{gain:.1f} times the throughput; ", end="", highlight=False)
    console.print(f"{figures.whole.requests} requests, {figures.whole.failed} failed", highlight=False)
    for example in figures.whole.examples[:5]:
        console.print(f"  at {example.at:.1f} s, {example.kind}: {example.detail}", highlight=False, markup=False)
