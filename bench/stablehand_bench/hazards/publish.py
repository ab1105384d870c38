"""The page of the apps with hazards: a row for each, and how they fell short."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import report
from stablehand_bench.hazards import verdict
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.results import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stablehand_bench.hazards.verdict import Verdict

_DOCS = Path(__file__).parents[3] / "docs"
_PAGE = _DOCS / "bench-hazards.md"
RESULTS = _DOCS / "bench" / "hazards.json"
_NOTHING = "–"


def section(told: Mapping[str, Any]) -> str:
    """Return the tables of a run's JSON."""
    verdicts = verdict.verdicts(Cell.from_mapping(each) for each in told["cells"])
    parts = [_how(told)]
    if verdicts:
        parts += ["### The tuner beside the best harmless settings\n", _beside(verdicts)]
        parts += ["### Where it falls short\n", _shortfalls(verdicts)]
        parts += ["### What each hazard does to static settings\n", _static(verdicts)]
    return "\n".join(parts)


def write(told: Mapping[str, Any]) -> None:
    """Write the results into docs/: the page's tables and the JSON.

    Raises:
        BenchError: when the page has no marks.
    """
    report.write_json(_DOCS / "bench" / "hazards.json", told)
    report.write_section(_PAGE, section(told))


def _how(told: Mapping[str, Any]) -> str:
    host, plan = told["machine"], told["plan"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return (
        f"{host['processor']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}, {versions}; "
        f"{told['placement']}; commit {host['commit'] or 'unknown'}. "
        f"The tuner: the last {plan['measured']} of {plan['tuning']} s; the best static settings: "
        f"{plan['candidate_measured']} s. {told.get('minutes', 0):.0f} minutes. "
        f"Load average before: {host['load_average_before']:.1f}.\n"
    )


def _beside(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for each in verdicts:
        tuned = each.tuner.tuned if each.tuner is not None else None
        rows.append(
            [
                each.hazard.workload.title,
                *_reached(each.best),
                *_reached(each.tuner),
                _ratio(each.ratio),
                _ratio(each.latency_ratio),
                f"{tuned.failed:,} of {tuned.requests:,}" if tuned else _NOTHING,
                f"{verdict.allowed(each.hazard.touch, tuned.requests):,}" if tuned else _NOTHING,
                f"{tuned.killed_for_memory}" if tuned else _NOTHING,
                f"{tuned.settled_seconds:.0f}" if tuned else _NOTHING,
                "no" if each.shortfalls else "yes",
            ]
        )
    heads = ["app", "best harmless static", "requests/s", "p99 ms", "the tuner ended at", "requests/s", "p99 ms"]
    heads += ["throughput ratio", "p99 ratio", "failed while tuning", "allowed", "killed for memory", "settled s"]
    return _table([*heads, "all goals met"], rows)


def _shortfalls(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for each in verdicts:
        if not each.shortfalls:
            continue
        tuned = each.tuner.tuned if each.tuner is not None else None
        kinds = each.tuner.failures if each.tuner is not None else {}
        failed = f" Failed: {_kinds(kinds)}." if kinds else ""
        last = (
            f" Its last word: {tuned.decisions[-1][2]} [{tuned.decisions[-1][3]}]." if tuned and tuned.decisions else ""
        )
        lines.append(f"- {each.hazard.name}: {'; '.join(each.shortfalls)}.{failed}{last}\n")
    return "".join(lines) or "Nowhere.\n"


def _static(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for each in verdicts:
        broken = each.breaking
        if broken is None:
            rows.append([each.hazard.workload.title, str(each.hazard.breaks), *[_NOTHING] * 3, "not measured"])
            continue
        happened = broken.note.strip().splitlines()[-1] if broken.note else _kinds(broken.failures) or _NOTHING
        seen = "yes" if each.is_seen else "no"
        rows.append([each.hazard.workload.title, *_reached(broken), _cell(happened), seen])
    return _table(["app", "settings that show it", "requests/s", "p99 ms", "failed", "seen"], rows)


def _reached(cell: Cell | None) -> list[str]:
    if cell is None:
        return [_NOTHING] * 3
    if cell.note:
        name = (
            cell.contestant.removeprefix(contestants.STATIC) if cell.contestant != contestants.STABLEHAND else _NOTHING
        )
        return [name, _NOTHING, _NOTHING]
    return [cell.settings or _NOTHING, f"{cell.per_second:,.0f}", f"{1000 * cell.p99_seconds:,.0f}"]


def _kinds(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} × {kind}" for kind, count in sorted(failures.items(), key=lambda item: -item[1]))


def _ratio(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"


def _cell(text: str) -> str:
    return text.replace("|", "/")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
