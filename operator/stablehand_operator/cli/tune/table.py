"""A run as tables, for people."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stablehand_operator.cli.tune.report import compared, news, of_survey
from stablehand_simulator.survey import SECONDS, worst
from stablehand_tuner.decision import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from stablehand_simulator.grid import Performance
    from stablehand_simulator.run import Round, Run
    from stablehand_simulator.survey import Measured
    from stablehand_simulator.workload import Workload
    from stablehand_tuner.decision import Decision

_UNKNOWN = "–"
_COLUMNS = ("s", "runs", "canary", "req/s", "p99", "in app", "waiting", "CPU", "cores", "decision")
_SURVEY_COLUMNS = ("seed", "start", "end", "best", "of best", "of start", "changes", "settled, s")
_STYLES = {
    Action.CANARY: "bold cyan",
    Action.PROMOTE: "bold green",
    Action.APPLY: "bold cyan",
    Action.KEEP: "bold green",
    Action.ROLL_BACK: "bold red",
}
_ROWS = 24  # beside those that bring news
_WIDTH = 120  # where there is no terminal to ask


def console() -> Console:
    """Return where tables are printed; into a file or a pipe as wide as they need."""
    made = Console()
    return made if made.is_terminal else Console(width=_WIDTH)


def simulation(run: Run, workload: Workload, seconds: float) -> RenderableType:
    """Return the run over time, the decisions, and what came of them."""
    start, end, best = compared(run, workload, seconds)
    comparison = Table(
        "", "settings", "requests/s", "p99", "memory of a pod", box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name, performance in (("start", start), ("end", end), ("best of a grid", best)):
        comparison.add_row(name, *_performance(performance))
    changes = len(run.changes)
    settled = f"{changes} changes, the last after {run.settled_at:.0f} s" if changes else "nothing was changed"
    killed = f"; {run.oom_exits} workers were killed for their memory" if run.oom_exits else ""
    return Group(
        _over_time(run), *_decisions(run), Text(f"\n{settled}{killed}. In the long run, by formulas:"), comparison
    )


def replayed(run: Run) -> RenderableType:
    """Return the recording over time, and what the policy would have advised."""
    advice = "nothing else than what ran" if not news(run) else str(run.settings)
    return Group(_over_time(run), *_decisions(run), Text(f"\nAdvised in the end: {advice}."))


def survey(measured: Sequence[Measured]) -> RenderableType:
    """Return how the tuner did on random workloads: the whole in words, and the worst ones."""
    found = of_survey(measured)
    changed = [each.settled_at for each in measured if each.begun]
    sentences = [
        f"{found['workloads']} random workloads, each tuned for {SECONDS:.0f} s.",
        (
            f"The ends come to {found['geometricMeanOfBest']:.3f} of the best of a static grid (geometric mean); "
            f"{found['within5PercentOfBest']} come within 5 % of it."
        ),
        f"{len(changed)} were changed; half of them had settled after {statistics.median(changed or [0.0]):.0f} s.",
        f"Worse than in the beginning: {_seeds(found['worseThanStart'])}",
        f"Workers killed for their memory: {_seeds(found['killedForMemory'])}",
        f"Failed requests, tuning included: {found['failedRequests']:.3%}",
        f"Settings that the policy forbids: {_seeds(found['outsideOfPolicy'])}",
        "The farthest from the best (stablehand tune simulate --fast --generated SEED shows one):",
    ]
    table = Table(*_SURVEY_COLUMNS, box=box.SIMPLE_HEAD, padding=0)
    for each in worst(measured):
        settings = (each.start.settings, each.end.settings, each.best.settings)
        numbers = (f"{each.of_best:.3f}", f"{each.of_start:.2f}", str(each.begun), f"{each.settled_at:.0f}")
        table.add_row(str(each.seed), *map(str, settings), *numbers)
    return Group(*map(Text, sentences), table)


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


def _over_time(run: Run) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    every = max(1, math.ceil(len(run.rounds) / _ROWS))
    for place, this in enumerate(run.rounds):
        if place % every == 0 or any(each.action is not Action.HOLD for each in this.decisions):
            table.add_row(*_round(this))
    return table


def _round(this: Round) -> list[str | Text]:
    seen, last = this.seen, this.decisions[-1] if this.decisions else None
    decided = Text("")
    if last is not None:
        held = last.action is Action.HOLD
        decided = Text(str(last.reason) if held else f"{last.action}: {last.reason}", _STYLES.get(last.action, ""))
    if seen is None:
        return [f"{this.at:.0f}", *[_UNKNOWN] * (len(_COLUMNS) - 2), decided]
    return [
        f"{this.at:.0f}",
        str(seen.settings_active or "switching"),
        _tried(this),
        f"{seen.requests_per_second:.1f}",
        _milliseconds(seen.p99_seconds),
        f"{seen.in_app:.1f}",
        f"{seen.waiting:.1f}",
        _UNKNOWN if seen.cpu_share is None else f"{seen.cpu_share:.0%}",
        f"{seen.cores_used:.2f}",
        decided,
    ]


def _decisions(run: Run) -> list[Text]:
    return [_line(at, decision) for at, decision in news(run)]


def _line(at: float, decision: Decision) -> Text:
    what = str(decision.action) if decision.settings is None else f"{decision.action} {decision.settings}"
    return Text.assemble(
        f"{at:6.0f} s  ", (what, _STYLES.get(decision.action, "")), f"  {decision.message} [{decision.reason}]"
    )


def _performance(performance: Performance) -> list[str]:
    p99 = "grows without end" if math.isinf(performance.p99) else _milliseconds(performance.p99)
    return [str(performance.settings), f"{performance.goodput:.1f}", p99, f"{performance.memory_bytes / 2**20:.0f} MiB"]


def _milliseconds(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds * 1000:.0f} ms"


def _tried(this: Round) -> str:
    """Return what is tried before all run it: by one worker, or by one pod."""
    if this.on_trial is not None:
        return f"{this.on_trial}, one worker"
    return "" if this.canary is None else str(this.canary)
