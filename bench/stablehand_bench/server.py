"""`python -m stablehand_bench.server`: what the server's metrics cost, and what a scrape takes, beside others."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_bench import machine, report, server_memory, server_scrape, server_throughput, wrk
from stablehand_bench.contestants import PLAIN
from stablehand_bench.errors import BenchError
from stablehand_bench.report import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = _DOCS / "bench-server.md"
_RESULTS = _DOCS / "bench"
_PARTS = ("throughput", "scrape", "memory")

_THROUGHPUT = (
    Column("requests/s", lambda told: told["per_second"].text()),
    Column("ratio", lambda told: told["ratio"].text(3)),
    Column("CPU µs a request", lambda told: told["cpu_microseconds"].text(1)),
    Column("ratio", lambda told: told["cpu_ratio"].text(3)),
    Column("failed", lambda told: f"{told['failed']:,}"),
)
_SCRAPE = (
    Column("median ms", lambda told: told["median"].text(1)),
    Column("longest ms", lambda told: told["longest"].text(1)),
    Column("bytes", lambda told: f"{told['bytes']:,}"),
)
_MEMORY = (
    Column("MB a worker", lambda told: told["worker"].text(2)),
    Column("more than plain", lambda told: told["more"].text(2)),
    Column("MB beside the workers", lambda told: told["beside"].text(1)),
    Column("of it the exporter", lambda told: told["exporter"].text(1) if told["exporter"].median else ""),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the process's status."""
    options = _options(arguments)
    try:
        results = _run(options)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    section = _section(results)
    sys.stdout.write(section)
    if options.docs:
        report.write_json(_RESULTS / "server.json", results)
        if "throughput" in results:
            report.plot_ratios(
                _RESULTS / "server-throughput.svg",
                results["throughput"],
                base=PLAIN,
                label="requests a second, as a ratio to plain gunicorn's in the same round",
            )
        report.write_section(_PAGE, section)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stablehand_bench.server", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes, to see that it runs; the numbers say little"
    )
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS), help="what to measure")
    parser.add_argument("--worker-class", help="only this one, of throughput and memory")
    parser.add_argument("--rounds", type=int, help="5, with --quick 1")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.docs and (options.quick or options.worker_class or set(options.parts) != set(_PARTS)):
        parser.error("--docs wants all parts and classes, and not the quick ones")
    return options


def _run(options: argparse.Namespace) -> dict[str, Any]:
    wrk.require()
    cores = machine.cores()
    results: dict[str, Any] = {"machine": machine.description(), "rounds": options.rounds}
    started = time.monotonic()
    if "throughput" in options.parts:
        results["throughput"] = server_throughput.run(
            cores,
            count=options.rounds,
            seconds=1 if options.quick else 3,
            only=options.worker_class,
            progress=_progress,
        )
    if "scrape" in options.parts:
        gone = (0, 200) if options.quick else (0, 10_000)
        results["scrape"] = server_scrape.run(cores, gone=gone, count=options.rounds, progress=_progress)
    if "memory" in options.parts:
        results["memory"] = server_memory.run(count=options.rounds, only=options.worker_class, progress=_progress)
    results["minutes"] = round((time.monotonic() - started) / 60, 1)
    results["machine"]["load_average_after"] = machine.load_average()
    return results


def _progress(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def _section(results: Mapping[str, Any]) -> str:
    host = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    text = (
        f"{host['processor']}, {host['cores']} cores, Linux {host['kernel']}, Python {host['python']}, {versions}. "
        f"{results['rounds']} interleaved rounds; median [lowest–highest]. Load average before and after: "
        f"{host['load_average_before']:.1f}, {host['load_average_after']:.1f}.\n"
    )
    if "throughput" in results:
        text += "\n### Throughput\n\n" + report.table("one worker on one core", results["throughput"], _THROUGHPUT)
    if "scrape" in results:
        title = f"of {server_scrape.WORKERS} workers, after so many"
        text += "\n### Scrape\n\n" + report.table(title, results["scrape"], _SCRAPE)
    if "memory" in results:
        text += "\n### Memory (PSS)\n\n" + report.table("workers", results["memory"], _MEMORY)
    return text


if __name__ == "__main__":
    sys.exit(main())
