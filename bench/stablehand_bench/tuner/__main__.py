"""`python -m stablehand_bench.tuner`: the tuner beside the oracle and its peers."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import machine, processes, wrk
from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import calibration, placement, plan, publish, sitting, workloads
from stablehand_bench.tuner.measure import Place
from stablehand_bench.tuner.progress import Progress
from stablehand_bench.tuner.results import Results
from stablehand_bench.tuner.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_bench.tuner.plan import Plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the process's status."""
    options = _options(arguments)
    processes.end_at_sigterm()
    path = options.results or sitting.cache() / ("tuner-quick.jsonl" if options.quick else "tuner.jsonl")
    with sitting.ending(path):
        if options.report:
            results = Results.read(path)
        else:
            chosen = plan.make(
                quick=options.quick,
                parts=options.parts,
                names=options.workloads,
                first_load_only=options.first_load_only,
                rounds=options.rounds,
                peer_rounds=options.peer_rounds,
            )
            results = _run(chosen, path, resume=options.resume)
        sys.stdout.write(publish.section(results.to_mapping()))
        if options.docs:
            publish.write(results.to_mapping())
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stablehand_bench.tuner", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="under ten minutes: few workloads, a small grid, one round"
    )
    parser.add_argument("--parts", nargs="+", choices=plan.PARTS, help="all, with --quick the contest only")
    names = [each.name for each in workloads.ALL]
    parser.add_argument("--workloads", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--first-load-only", action="store_true", help="not every workload under several loads")
    parser.add_argument("--rounds", type=int, help="3, with --quick 1")
    parser.add_argument("--peer-rounds", type=int, help="in how many of them the other servers are measured; all")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--results", type=Path, help="the file of results, by default in the user's cache")
    parser.add_argument("--report", action="store_true", help="measure nothing: only tell what the file has")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    if options.docs and options.quick:
        parser.error("--docs does not want quick results")
    return options


def _run(chosen: Plan, path: Path, *, resume: bool) -> Results:
    wrk.require()
    where = placement.here()
    cores = len(where.server)
    results = sitting.resumed(path, publish.RESULTS) if resume else Results.begin(path, _head(chosen, where))
    if results.head["plan"] != chosen.to_mapping() or results.head["cores"] != cores:
        raise BenchError(f"{path} has results of another kind of run: run without --resume")
    started = time.monotonic()
    try:
        with Progress(chosen, cores) as progress:
            Run(chosen, Place(where, results.head["turns"]), results, progress.told).all()
    finally:
        results.end((time.monotonic() - started) / 60)
    return results


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
