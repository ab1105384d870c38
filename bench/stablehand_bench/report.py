"""Results for people and machines: markdown tables, the same as JSON, plots."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_bench.errors import BenchError
from stablehand_bench.rounds import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)


class Column(NamedTuple):
    """A column of a table, from one contestant's results; `text` may return an empty text."""

    title: str
    text: Callable[[Mapping[str, Any]], str]


def table(first: str, results: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Return a markdown table: a row for each contestant of each result, which has a `title` and `contestants`."""
    rows = [[first, "server", *(column.title for column in columns)]]
    rows.append(["---"] * 2 + ["---:"] * len(columns))
    for result in results:
        title = result["title"]
        for name, told in result["contestants"].items():
            rows.append([title, name, *(column.text(told) for column in columns)])
            title = ""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Write everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_named(results), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` has written, with its spreads; nothing where there is no such file."""
    if not path.exists():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(), object_hook=_spread)
    return results


def _spread(mapping: dict[str, Any]) -> Any:
    return Spread(**mapping) if mapping.keys() == set(Spread._fields) else mapping


def _named(value: Any) -> Any:
    """Return the same with mappings for named tuples, which JSON would take for lists."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, dict):
        return {key: _named(each) for key, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def write_section(page: Path, section: str) -> None:
    """Replace what stands between a page's marks `<!-- results -->` and `<!-- end of results -->`.

    Raises:
        BenchError: when the page has no such marks.
    """
    text = page.read_text()
    changed, count = _MARKED.subn(lambda found: f"{found.group(1)}{section}{found.group(2)}", text)
    if count != 1:
        raise BenchError(f"{page} must have the marks <!-- results --> and <!-- end of results --> once each")
    page.write_text(changed)


def plot_ratios(path: Path, results: Sequence[Mapping[str, Any]], *, base: str, label: str) -> None:
    """Draw each contestant's ratio to `base` as bars with their range; a missing matplotlib is an ImportError."""
    plt = pyplot()
    names = list(dict.fromkeys(name for each in results for name in each["contestants"] if name != base))
    figure, axes = plt.subplots(figsize=(9, 0.75 * len(results) + 1.5), layout="constrained")
    height = 0.8 / len(names)
    for place, name in enumerate(names):
        for row, each in enumerate(results):
            told = each["contestants"].get(name)
            if told is None:
                continue
            ratio = told["ratio"]
            axes.barh(
                row + place * height,
                ratio.median,
                height,
                color=f"C{place}",
                label=name if row == 0 else None,
                xerr=[[ratio.median - ratio.lowest], [ratio.highest - ratio.median]],
                ecolor="0.4",
            )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(results))], [each["title"] for each in results])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    figure.legend(loc="outside upper center", ncols=len(names), frameon=False)
    save(figure, path)


def pyplot() -> Any:
    """Return matplotlib's pyplot, set up to draw the same file from the same results; an ImportError without it."""
    import matplotlib as mpl  # noqa: PLC0415 (a second's import, and only here)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "stablehand"
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    return plt


def save(figure: Any, path: Path) -> None:
    """Write a figure to a file, and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot().close(figure)
