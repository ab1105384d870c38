"""The commands `stablehand tune simulate`, `replay` and `record`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import json
import multiprocessing
import sys
from pathlib import Path  # noqa: TC003 (typer reads it at runtime)
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from stablehand_tuner.policy import Policy

tune = typer.Typer(
    name="tune", help="Try a policy on simulated pods, or on recorded metrics of real ones.", no_args_is_help=True
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
_Hazards = Annotated[
    bool,
    typer.Option("--hazards", help="Random apps with locks, pools, limits, classes that fail: docs/simulator.md."),
]


@tune.command()
def simulate(
    file: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads it at runtime, also under Python 3.10)
        typer.Argument(help="A scenario, YAML or JSON: docs/simulator.md describes it."),
    ] = None,
    *,
    fast: Annotated[bool, typer.Option("--fast", help="Use formulas instead of simulating every request.")] = False,
    seed: Annotated[Optional[int], typer.Option(min=0, help="The random seed, instead of the file's.")] = None,  # noqa: UP045 (the same)
    generated: Annotated[
        Optional[int],  # noqa: UP045 (the same)
        typer.Option(min=0, metavar="SEED", help="Instead of a file: a workload of `stablehand tune survey`."),
    ] = None,
    hazards: _Hazards = False,
    as_json: _Json = False,
) -> None:
    """Simulate an app under a policy, and show what is decided, why, and the result."""
    from stablehand_operator.cli.tune import report, table  # noqa: PLC0415 (run must not pay for it)
    from stablehand_operator.cli.tune.scenario import InvalidScenario, Scenario  # noqa: PLC0415 (the same)
    from stablehand_simulator import generated as workloads  # noqa: PLC0415 (the same)
    from stablehand_simulator import run as runs  # noqa: PLC0415 (the same)
    from stablehand_simulator import survey as surveys  # noqa: PLC0415 (the same)

    if hazards and generated is None:
        raise _refused("--hazards is for --generated SEED: a file says itself what its app is like")
    if (file is None) == (generated is None):
        raise _refused("either a file or --generated SEED is needed, and not both")
    seconds, interval = surveys.SECONDS, runs.INTERVAL_SECONDS
    if file is None:
        make = workloads.hazardous if hazards else workloads.workload
        workload = make(generated or 0)
    else:
        try:
            scenario = Scenario.read(file)
        except InvalidScenario as error:
            raise _refused(error) from error
        seconds, interval = scenario.seconds, scenario.interval_seconds
        workload = scenario.to_workload()
    if seed is not None:
        workload = dataclasses.replace(workload, seed=seed)
    run = runs.tune(workload, seconds, interval=interval, exact=not fast)
    if as_json:
        _print_json(report.of_simulation(run, workload, seconds))
    else:
        table.console().print(table.simulation(run, workload, seconds))


@tune.command()
def survey(
    *,
    workloads: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many random workloads.")] = 200,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many at the same time.")] = 1,
    hazards: _Hazards = False,
    as_json: _Json = False,
) -> None:
    """Tune many random workloads by formulas, and show how close to the best they end, the worst ones first."""
    from stablehand_operator.cli.tune import report, table  # noqa: PLC0415 (run must not pay for it)
    from stablehand_simulator import survey as surveys  # noqa: PLC0415 (the same)

    measure = surveys.measure_hazardous if hazards else surveys.measure
    if processes == 1:
        measured = [measure(seed) for seed in range(workloads)]
    else:
        spawning = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(processes, mp_context=spawning) as pool:
            measured = list(pool.map(measure, range(workloads), chunksize=10))
    if as_json:
        _print_json(report.of_survey(measured))
    else:
        table.console().print(table.survey(measured))


@tune.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording: what `stablehand tune record` printed.")],
    *,
    policy: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads it at runtime, also under Python 3.10)
        typer.Option(help="The policy, YAML or JSON, as in a WSGIApp's spec.tuning. The default policy if absent."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show what a policy would have advised on a recorded history."""
    from stablehand_operator.cli.tune import recording, report, table  # noqa: PLC0415 (run must not pay for it)
    from stablehand_operator.cli.tune import replay as replaying  # noqa: PLC0415 (the same)

    try:
        with file.open(encoding="utf-8") as lines:
            rounds = list(recording.read(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(f"{file} cannot be read: {error}") from error
    except recording.InvalidRecording as error:
        raise _refused(f"{file}: {error}") from error
    for each in rounds:
        for fault in each.faults:
            typer.echo(f"stablehand: at {each.at:.0f}: {fault}", err=True)
    run = replaying.replay(_policy(policy), rounds)
    if all(each.seen is None for each in run.rounds):
        raise _refused(f"{file} has fewer than two rounds with metrics of the same pod: there is nothing to compare")
    if as_json:
        _print_json(report.of_run(run))
    else:
        table.console().print(table.replayed(run))


@tune.command()
def record(
    urls: Annotated[list[str], typer.Argument(help="Where the pods' metrics are: http://10.0.0.1:9464/metrics ...")],
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long.")] = 60.0,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two scrapes of a pod.")] = 5.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a pod may take to answer.")] = 2.0,
) -> None:
    """Print the metrics of pods, one line of JSON for each round of scrapes; redirect it into a file."""
    from stablehand_operator.cli.tune import record as recorder  # noqa: PLC0415 (run must not pay for it)

    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise _refused(f"{url} is not the address of metrics: http://HOST:9464/metrics is needed")

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def warn(sentence: str) -> None:
        typer.echo(f"stablehand: {sentence}", err=True)

    scraped = asyncio.run(
        recorder.record(urls, seconds=seconds, interval=interval, timeout=timeout, write=write, warn=warn)
    )
    if not scraped:
        raise _refused("no scrape succeeded: nothing was recorded")


def _policy(path: Path | None) -> Policy:
    import yaml  # noqa: PLC0415 (run must not pay for it)

    from stablehand_tuner.policy import InvalidPolicy, Policy  # noqa: PLC0415 (the same)

    if path is None:
        return Policy()
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _refused(f"{path} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise _refused(f"{path} must be an object, as in a WSGIApp's spec.tuning")
    try:
        return Policy.from_mapping(fields)
    except InvalidPolicy as error:
        raise _refused(f"{path}: {error}") from error


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def _refused(fault: object) -> typer.Exit:
    typer.echo(f"stablehand: {fault}", err=True)
    return typer.Exit(2)
