"""`python -m stablehand_bench.server`: what the server's metrics cost, and what a scrape takes, beside others."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import (
    machine,
    processes,
    report,
    server_clock,
    server_convoy,
    server_memory,
    server_scrape,
    server_throughput,
    wrk,
)
from stablehand_bench.contestants import PLAIN
from stablehand_bench.errors import BenchError
from stablehand_bench.report import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = _DOCS / "bench-server.md"
_RESULTS = _DOCS / "bench"
_PARTS = ("throughput", "clock", "convoy", "scrape", "memory")
_MEASURED_ONCE = "convoy"  # only where it is asked for
# So many rounds are enough where nothing but the machine varies.
_MOST_ROUNDS = {"scrape": 3, "memory": 3}
_COMMIT = Column("at commit", lambda told: told.get("commit", ""))

_THROUGHPUT = (
    Column("requests/s of half a core", lambda told: told["per_second"].text()),
    Column("CPU µs a request", lambda told: told["cpu_microseconds"].text(1)),
    Column("ratio", lambda told: told["ratio"].text(3)),
    Column("failed", lambda told: f"{told['failed']:,}"),
    _COMMIT,
)
_BY_THE_CLOCK = (
    Column("requests/s", lambda told: told["per_second"].text()),
    Column("ratio", lambda told: told["ratio"].text(3)),
    Column("p99 ms", lambda told: told["p99"].text(1)),
    Column("failed", lambda told: f"{told['failed']:,}"),
    _COMMIT,
)
_SCRAPE = (
    Column("median ms", lambda told: told["median"].text(1)),
    Column("longest ms", lambda told: told["longest"].text(1)),
    Column("bytes", lambda told: f"{told['bytes']:,}"),
    _COMMIT,
)
_MEMORY = (
    Column("MB a worker", lambda told: told["worker"].text(2)),
    Column("more than plain", lambda told: told["more"].text(2)),
    Column("MB beside the workers", lambda told: told["beside"].text(1)),
    Column("of it the exporter", lambda told: told["exporter"].text(1) if told["exporter"].median else ""),
    _COMMIT,
)

# title, first column, columns
_TABLES = {
    "throughput": ("Throughput", "one worker on one core", _THROUGHPUT),
    "clock": ("Throughput by the clock", "one worker, server and load on all cores", _BY_THE_CLOCK),
    "convoy": ("The convoy of threads", "one process on all cores, keep-alive", _BY_THE_CLOCK),
    "scrape": ("Scrape", f"of {server_scrape.WORKERS} workers, after so many", _SCRAPE),
    "memory": ("Memory (PSS)", "workers", _MEMORY),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the process's status."""
    options = _options(arguments)
    processes.end_at_sigterm()
    results = report.read_json(_RESULTS / "server.json") if options.docs else {}
    try:
        wrk.require()
        cores = machine.cores()
        for part in options.parts:
            results[part] = _measured(part, options, cores)
            sys.stdout.write(_table(part, results[part]))
            sys.stdout.flush()
            if options.docs:
                _write(results)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    return 0


def _write(results: Mapping[str, Any]) -> None:
    """Write what there is: half an hour of measuring is not lost with its last part."""
    parts = [part for part in _PARTS if part in results]
    report.write_json(_RESULTS / "server.json", {part: results[part] for part in parts})
    report.write_section(_PAGE, "".join(_table(part, results[part]) for part in parts))
    if "throughput" in parts:
        report.plot_ratios(
            _RESULTS / "server-throughput.svg",
            results["throughput"]["results"],
            base=PLAIN,
            label="requests in a second of CPU, as a ratio to plain gunicorn's in the same seconds",
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stablehand_bench.server", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes, to see that it runs; the numbers say little"
    )
    parser.add_argument("--parts", nargs="+", choices=_PARTS, help=f"what to measure; all but {_MEASURED_ONCE}")
    parser.add_argument("--worker-class", help="only this one, of throughput, clock and memory")
    parser.add_argument("--rounds", type=int, help="5, with --quick 1")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    if options.parts is None:
        options.parts = [part for part in _PARTS if part != _MEASURED_ONCE]
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.docs and (options.quick or options.worker_class):
        parser.error("--docs wants all classes, and not the quick ones")
    return options


def _measured(part: str, options: argparse.Namespace, cores: machine.Cores) -> dict[str, Any]:
    host = machine.description()
    started = time.monotonic()
    count = min(options.rounds, _MOST_ROUNDS.get(part, options.rounds))
    results: list[dict[str, Any]]
    if part == "throughput":
        seconds = 1 if options.quick else 2
        results = server_throughput.run(
            cores, count=count, seconds=seconds, only=options.worker_class, progress=_progress
        )
    elif part == "clock":
        seconds = 1 if options.quick else 2
        results = server_clock.run(count=count, seconds=seconds, only=options.worker_class, progress=_progress)
    elif part == "convoy":
        seconds = 1 if options.quick else 3
        results = server_convoy.run(cores, count=count, seconds=seconds, progress=_progress)
    elif part == "scrape":
        gone = (0, 200) if options.quick else (0, 10_000)
        results = server_scrape.run(cores, gone=gone, count=count, progress=_progress)
    else:
        results = server_memory.run(count=count, only=options.worker_class, progress=_progress)
    for told in (told for each in results for told in each["contestants"].values()):
        told["commit"] = host["commit"]
    return {
        "machine": {**host, "load_average_after": machine.load_average()},
        "minutes": round((time.monotonic() - started) / 60, 1),
        "rounds": count,
        "results": results,
    }


def _progress(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def _table(part: str, measured: Mapping[str, Any]) -> str:
    host = measured["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    title, first, columns = _TABLES[part]
    return (
        f"### {title}\n\n{report.table(first, measured['results'], columns)}\n"
        f"{measured['rounds']} interleaved rounds, {measured['minutes']} minutes; median [lowest–highest]. "
        f"{host['processor']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}, {versions}. "
        f"Load average before and after: {host['load_average_before']:.1f}, {host['load_average_after']:.1f}.\n\n"
    )


if __name__ == "__main__":
    sys.exit(main())
