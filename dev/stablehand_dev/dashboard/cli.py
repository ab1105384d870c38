"""The commands `stablehand-dev dashboard ...`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations at run time)
from typing import Annotated

import typer
import yaml

from stablehand_dev.dashboard.queries import STORED, queries
from stablehand_dev.dashboard.scraping import scrape_config

app = typer.Typer(no_args_is_help=True, help="The Grafana dashboard: generate it, list its queries.")


@app.command()
def generate(
    output: Annotated[Path, typer.Option(help="Where to write it.")] = STORED,
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when the file is out of date.")] = False,
) -> None:
    """Write the dashboard's JSON."""
    try:
        from stablehand_dev.dashboard.build import dashboard_json  # noqa: PLC0415 (needs Python 3.11; the rest does not)
    except ImportError as error:
        typer.echo(f"the dashboard's library is not installed ({error}): it needs Python 3.11 or later", err=True)
        raise typer.Exit(2) from error
    text = dashboard_json()
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    elif not output.exists() or output.read_text(encoding="utf-8") != text:
        typer.echo(f"{output} is out of date: run `make generate`", err=True)
        raise typer.Exit(1)


@app.command("queries")
def list_queries(namespace: str, wsgiapp: str, pod: str = ".*") -> None:
    """Print every query of the dashboard for one app, ready for Prometheus."""
    for query in queries(namespace=namespace, app=wsgiapp, pod=pod):
        typer.echo(f"# {query.title}\n{query.expression}\n")


@app.command("scrape-config")
def print_scrape_config(
    kubeconfig: Annotated[Path | None, typer.Option(help="For a Prometheus outside of the cluster.")] = None,
    interval: Annotated[str, typer.Option(help="As Prometheus writes durations.")] = "15s",
) -> None:
    """Print the Prometheus configuration by which the dashboard finds its data."""
    typer.echo(yaml.safe_dump(scrape_config(kubeconfig, interval), sort_keys=False))
