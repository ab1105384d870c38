"""The page of the load that changes: a row and a plot for each script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench import report
from stablehand_bench.changing import scripts
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.results import CONTEST, Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GAIN_GOAL = 1.3
_DOCS = Path(__file__).parents[3] / "docs"
_PAGE = _DOCS / "bench-changing.md"
RESULTS = _DOCS / "bench" / "changing.json"
_NOTHING = "–"
_SMOOTH_SECONDS = 5


class Compared(NamedTuple):
    """A script: the best static settings for the whole of it, and the tuner; None where there is nothing."""

    name: str
    best: Cell | None
    tuner: Cell | None

    @property
    def gain(self) -> float | None:
        """How many times as many requests the tuner answered in time; None where there is nothing to compare."""
        if self.best is None or self.tuner is None or self.tuner.note or not self.best.per_second:
            return None
        return self.tuner.per_second / self.best.per_second


def compared(cells: Iterable[Cell]) -> list[Compared]:
    """Return what was measured of each script in its whole length."""
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.phase == CONTEST:
            by_name.setdefault(cell.workload, []).append(cell)
    found = []
    for name, measured in by_name.items():
        static = [each for each in measured if each.contestant != contestants.STABLEHAND and not each.note]
        best = max(static, key=lambda each: each.per_second, default=None)
        tuner = next((each for each in measured if each.contestant == contestants.STABLEHAND), None)
        found.append(Compared(name, best, tuner))
    return found


def section(told: Mapping[str, Any]) -> str:
    """Return the tables of a run's JSON."""
    host, plan = told["machine"], told["plan"]
    quick = (
        f" **{plan['faster']:g} times as fast as the scripts: its numbers say little.**" if plan["faster"] > 1 else ""
    )
    how = (
        f"{host['processor']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}; "
        f"{told['placement']}; commit {host['commit'] or 'unknown'}. {told.get('minutes', 0):.0f} minutes. "
        f"Load average before: {host['load_average_before']:.1f}.{quick}\n"
    )
    rows = [_row(each) for each in compared(Cell.from_mapping(cell) for cell in told["cells"])]
    heads = ["script", "best static", "in time/s", "failed", "tuner in time/s", "failed", "changes", "times"]
    return f"{how}\n{_table([*heads, 'goal met'], rows)}" if rows else how


def write(told: Mapping[str, Any]) -> None:
    """Write the results into docs/: the table, the JSON and the plots.

    Raises:
        BenchError: when the page has no marks.
    """
    directory = _DOCS / "bench"
    report.write_json(directory / "changing.json", told)
    text = section(told)
    for each in compared(Cell.from_mapping(cell) for cell in told["cells"]):
        if each.best is not None and each.tuner is not None and each.tuner.series:
            plot(directory / f"changing-{each.name}.svg", each)
            text += f"\n![{_title(each.name)}](bench/changing-{each.name}.svg)\n"
    report.write_section(_PAGE, text)


def plot(path: Path, told: Compared) -> None:
    """Draw what the tuner and the best static settings answered in time; needs matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 (a second's import, and only here)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "stablehand"  # the same results give the same file
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    for cell, name in ((told.best, "best static"), (told.tuner, "tuner")):
        if cell is not None:
            label = f"{name}: {cell.settings}" if name == "best static" else name
            axes.plot(smooth([each[1] for each in cell.series]), label=label)
    axes.set_title(_title(told.name), fontsize="medium")
    axes.set_xlabel("seconds")
    axes.set_ylabel("requests a second, in time")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def smooth(values: Sequence[float]) -> list[float]:
    """Return the mean of each second and the few before it."""
    return [
        sum(part) / len(part)
        for part in (values[max(0, at + 1 - _SMOOTH_SECONDS) : at + 1] for at in range(len(values)))
    ]


def _row(told: Compared) -> list[str]:
    best, tuner = told.best, told.tuner
    tuned = tuner.tuned if tuner is not None else None
    gain = _NOTHING if told.gain is None else f"{told.gain:.2f}"
    return [
        _title(told.name),
        *((best.settings, f"{best.per_second:,.0f}", f"{best.failed:,}") if best is not None else [_NOTHING] * 3),
        *((f"{tuner.per_second:,.0f}", f"{tuned.failed:,}", f"{tuned.changes}") if tuner and tuned else [_NOTHING] * 3),
        gain,
        "yes" if told.gain is not None and told.gain >= GAIN_GOAL else "no",
    ]


def _title(name: str) -> str:
    return scripts.BY_NAME[name].title


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
