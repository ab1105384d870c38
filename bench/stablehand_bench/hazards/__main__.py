"""`python -m stablehand_bench.hazards`: the tuner on apps that settings can break, beside the best that do not."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import machine, processes
from stablehand_bench.errors import BenchError
from stablehand_bench.hazards import catalogue, plan, publish, services
from stablehand_bench.hazards.run import Run, Servers
from stablehand_bench.tuner import calibration, placement, sitting
from stablehand_bench.tuner.measure import Place
from stablehand_bench.tuner.results import CONTEST, Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_bench.hazards.plan import Plan
    from stablehand_bench.tuner.results import Key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the process's status."""
    options = _options(arguments)
    processes.end_at_sigterm()
    path = options.results or sitting.cache() / "hazards.jsonl"
    with sitting.ending(path):
        if options.report:
            results = Results.read(path)
        else:
            chosen = plan.make(options.apps, tuning=options.tuning)
            results = _run(chosen, path, resume=options.resume, again=options.again)
        sys.stdout.write(publish.section(results.to_mapping()))
        if options.docs:
            publish.write(results.to_mapping())
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stablehand_bench.hazards", description=__doc__)
    names = list(catalogue.BY_NAME)
    parser.add_argument("--apps", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--tuning", type=int, metavar="SECONDS", help="how long the tuner is loaded: 120")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument(
        "--again",
        choices=("tuner", "all"),
        help="with --resume, measure the apps' tuner again, or all of them, and keep the rest",
    )
    parser.add_argument("--results", type=Path, help="the file of results, by default in the user's cache")
    parser.add_argument("--report", action="store_true", help="measure nothing: only tell what the file has")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    if options.again and not options.resume:
        parser.error("--again goes with --resume")
    return options


def _run(chosen: Plan, path: Path, *, resume: bool, again: str | None) -> Results:
    services.require(chosen.hazards)
    where = placement.here()
    results = sitting.resumed(path, publish.RESULTS) if resume else Results.begin(path, _head(chosen, where))
    if results.head["plan"] != chosen.to_mapping() or results.head["cores"] != len(where.server):
        raise BenchError(f"{path} has results of another kind of run: run without --resume")
    if again is not None:
        results.head["machine"]["commit"] = machine.commit()
        results.forget(lambda cell: cell.workload in chosen.names and (again == "all" or cell.phase == CONTEST))
    sys.stderr.write(f"bench: {len(chosen.names)} apps, about {chosen.seconds() / 60:.0f} minutes\n")
    started = time.monotonic()
    try:
        Run(chosen, Servers(Place(where, results.head["turns"])), results, _tell).all()
    finally:
        results.end((time.monotonic() - started) / 60)
    return results


def _tell(key: Key) -> None:
    sys.stderr.write(f"bench: {key.workload}, {key.phase}: {key.contestant}\n")


def _head(chosen: Plan, where: placement.Placement) -> dict[str, Any]:
    return {
        "machine": machine.description(),
        "plan": chosen.to_mapping(),
        "cores": len(where.server),
        "placement": where.describe(),
        "turns": calibration.turns_per_millisecond(),
    }


if __name__ == "__main__":
    sys.exit(main())
