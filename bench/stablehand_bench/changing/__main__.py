"""`python -m stablehand_bench.changing`: the tuner under loads that change, beside the best static settings."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench import machine, processes
from stablehand_bench.changing import publish, scripts
from stablehand_bench.changing.run import Plan, Run
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import calibration, placement, sitting
from stablehand_bench.tuner.measure import Place
from stablehand_bench.tuner.results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_bench.tuner.results import Key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the process's status."""
    parser = argparse.ArgumentParser(prog="stablehand_bench.changing", description=__doc__)
    names = list(scripts.BY_NAME)
    parser.add_argument("--scripts", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--faster", type=float, default=1.0, metavar="TIMES", help="a rough check: shorter stretches")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--results", type=Path, help="the file of results, by default in the user's cache")
    parser.add_argument("--report", action="store_true", help="measure nothing: only tell what the file has")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    if options.docs and options.faster > 1:
        parser.error("--docs does not want a rough check")
    processes.end_at_sigterm()
    path = options.results or sitting.cache() / "changing.jsonl"
    with sitting.ending(path):
        if options.report:
            results = Results.read(path)
        else:
            plan = Plan(tuple(options.scripts or names), faster=options.faster)
            results = _run(plan, path, resume=options.resume)
        sys.stdout.write(publish.section(results.to_mapping()))
        if options.docs:
            publish.write(results.to_mapping())
    return 0


def _run(plan: Plan, path: Path, *, resume: bool) -> Results:
    where = placement.here()
    head = {
        "machine": machine.description(),
        "plan": plan.to_mapping(),
        "cores": len(where.server),
        "placement": where.describe(),
        "turns": calibration.turns_per_millisecond(),
    }
    results = sitting.resumed(path, publish.RESULTS) if resume else Results.begin(path, head)
    if results.head["plan"] != plan.to_mapping() or results.head["cores"] != len(where.server):
        raise BenchError(f"{path} has results of another kind of run: run without --resume")
    sys.stderr.write(f"bench: {len(plan.names)} scripts, about {plan.seconds() / 60:.0f} minutes\n")
    started = time.monotonic()
    try:
        Run(plan, Place(where, results.head["turns"]), results, _tell).all()
    finally:
        results.end((time.monotonic() - started) / 60)
    return results


def _tell(key: Key) -> None:
    sys.stderr.write(f"bench: {key.workload}, {key.phase}: {key.contestant}\n")


if __name__ == "__main__":
    sys.exit(main())
