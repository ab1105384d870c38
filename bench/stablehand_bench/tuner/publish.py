"""The page of results: tables from the JSON, with what falls short in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import report
from stablehand_bench.tuner import contestants, promises, summary, workloads
from stablehand_bench.tuner.results import CONTEST, Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stablehand_bench.rounds import Spread
    from stablehand_bench.tuner.summary import Result, Standing

_DOCS = Path(__file__).parents[3] / "docs"
_PAGE = _DOCS / "bench-tuner.md"
RESULTS = _DOCS / "bench" / "tuner.json"
_NOTHING = "–"
_MEGABYTE = 1e6


def section(told: Mapping[str, Any]) -> str:
    """Return the tables of a run's JSON."""
    cells = [Cell.from_mapping(each) for each in told["cells"]]
    results = summary.summarise(cells)
    kept = promises.promises(cells, results)
    parts = [_how(told, cells)]
    if results:
        parts += ["### Beside the oracle\n", _beside_the_oracle(results)]
    if kept:
        parts += ["### Promises\n", _promises(kept)]
    if results:
        parts += ["### Where it falls short\n", _shortfalls(results)]
        parts += ["### Times the throughput of others\n", _gains(results)]
        parts += ["### Everyone\n", _everyone(results)]
    return "\n".join(parts)


def write(told: Mapping[str, Any]) -> None:
    """Write the results into docs/: the page's tables, the JSON, and a plot.

    Raises:
        BenchError: when the page has no marks.
    """
    directory = _DOCS / "bench"
    report.write_json(directory / "tuner.json", told)
    results = summary.summarise(Cell.from_mapping(each) for each in told["cells"])
    plotted = [
        {
            "title": f"{each.workload}, {each.load}",
            "contestants": {name: {"ratio": s.ratio} for name, s in each.standings.items() if s.ratio is not None},
        }
        for each in results
    ]
    text = section(told)
    if plotted:
        report.plot_ratios(
            directory / "tuner-throughput.svg",
            plotted,
            base=summary.ORACLE,
            label="requests a second, as a ratio to the oracle's in the same round",
        )
        text += "\n![Throughput as a ratio to the oracle's](bench/tuner-throughput.svg)\n"
    report.write_section(_PAGE, text)


def _how(told: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    host, plan = told["machine"], told["plan"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    share = max((cell.core_share for cell in cells), default=0.0)
    quick = " **A quick run: its numbers say little.**" if plan["quick"] else ""
    return (
        f"{host['processor']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}, {versions}; "
        f"{told['placement']}. {_rounds(cells, plan['rounds'])}, median [lowest–highest]; "
        f"{told.get('minutes', 0):.0f} minutes. The load generator took at most {share:.2f} of a core. "
        f"Load average before: {host['load_average_before']:.1f}.{quick}\n"
    )


def _rounds(cells: Sequence[Cell], planned: int) -> str:
    """Say how many rounds were measured: a run may have ended before its last one, or be waiting for `--resume`."""
    last: dict[tuple[str, str], int] = {}
    for cell in cells:
        if cell.phase == CONTEST and cell.contestant == contestants.STABLEHAND:
            last[cell.workload, cell.load] = max(cell.round, last.get((cell.workload, cell.load), 0))
    least, most = min(last.values(), default=0), max(last.values(), default=0)
    if least == planned or not last:
        return f"{planned} interleaved rounds"
    measured = f"{least}" if least == most else f"{least} to {most}"
    return f"{measured} of {planned} interleaved rounds"


def _beside_the_oracle(results: Sequence[Result]) -> str:
    rows = []
    for each in results:
        mine = each.standings.get(contestants.STABLEHAND)
        best = each.standings.get(summary.ORACLE)
        tuned = [cell.tuned for cell in each.stablehand if cell.tuned is not None]
        chosen = list(dict.fromkeys(cell.settings for cell in each.stablehand if cell.settings))
        rows.append(
            [
                workloads.BY_NAME[each.workload].title,
                each.load,
                each.oracle_settings or _NOTHING,
                _spread(best.per_second if best else None, 0),
                _spread(best.p99_seconds if best else None, 0, 1000),
                "; ".join(chosen) or _NOTHING,
                _spread(mine.ratio if mine else None, 2),
                _spread(mine.latency_ratio if mine else None, 2),
                ", ".join(f"{one.settled_seconds:.0f}" for one in tuned) or _NOTHING,
                f"{sum(one.failed for one in tuned):,}",
                "no" if each.shortfalls else "yes",
            ]
        )
    heads = ("app", "load", "oracle", "requests/s", "p99 ms", "Stablehand's choice", "throughput ratio", "p99 ratio")
    return _table([*heads, "settled s", "failed", "all goals met"], rows)


def _promises(kept: Sequence[promises.Promise]) -> str:
    return _table(["promise", "seen", "kept"], [[one.text, one.seen, "yes" if one.kept else "no"] for one in kept])


def _shortfalls(results: Sequence[Result]) -> str:
    lines = []
    for each in results:
        said = [cell.tuned.decisions[-1] for cell in each.stablehand if cell.tuned and cell.tuned.decisions]
        last = f" Its last word: {said[-1][2]} [{said[-1][3]}]." if said else ""
        lines += [f"- {each.workload}, {each.load}: {text}.{last}\n" for text in each.shortfalls]
    return "".join(lines) or "Nowhere.\n"


def _gains(results: Sequence[Result]) -> str:
    heads = ["app", "load", *contestants.PEERS]
    rows = [
        [workloads.BY_NAME[each.workload].title, each.load, *(_ratio(summary.gain(each, o)) for o in contestants.PEERS)]
        for each in results
    ]
    means = []
    for peer in contestants.PEERS:
        known = [value for each in results if (value := summary.gain(each, peer)) is not None]
        means.append(_ratio(summary.geometric_mean(known)) if known else _NOTHING)
    return _table(heads, [*rows, ["**geometric mean**", "", *means]])


def _everyone(results: Sequence[Result]) -> str:
    rows = []
    for each in results:
        title = f"{workloads.BY_NAME[each.workload].title}, {each.load}"
        for name, standing in each.standings.items():
            shown = f"oracle: {each.oracle_settings}" if name == summary.ORACLE else name
            rows.append([title, shown, *_cells(standing)])
            title = ""
    return _table(["app and load", "server", "requests/s", "p99 ms", "ratio", "MB", "processes", "failed"], rows)


def _cells(standing: Standing) -> list[str]:
    if standing.per_second is None:
        reason = standing.note.splitlines()[-1].replace("|", "/") if standing.note else "served nothing"
        return [reason, *[_NOTHING] * 5]
    return [
        _spread(standing.per_second, 0),
        _spread(standing.p99_seconds, 0, 1000),
        _spread(standing.ratio, 2),
        f"{standing.memory_bytes / _MEGABYTE:.0f}",
        f"{standing.processes:.0f}",
        f"{standing.failed:,}",
    ]


def _spread(spread: Spread | None, digits: int, scale: float = 1.0) -> str:
    return _NOTHING if spread is None else spread.text(digits, scale)


def _ratio(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
