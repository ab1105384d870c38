"""The commands and their options; each option can also be an environment variable."""

from __future__ import annotations

import asyncio
import enum
import importlib.metadata
import logging
from typing import Annotated, Optional

import typer

from stablehand_operator.cli.tune.commands import tune
from stablehand_operator.configuration import Configuration, InvalidConfiguration

app = typer.Typer(
    name="stablehand",
    help="The operator that runs Python web apps and tunes them while they serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(tune)

_DEFAULT = Configuration()


class LogLevel(str, enum.Enum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(str, enum.Enum):
    """The format of the log."""

    TEXT = "text"
    JSON = "json"


def main() -> None:
    """Run the command line."""
    app()


def _print_version(value: bool) -> None:  # noqa: FBT001 (typer calls it with the flag)
    if value:
        typer.echo(f"stablehand {importlib.metadata.version('stablehand-operator')}")
        raise typer.Exit


@app.callback()
def stablehand(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Runs Python web apps and tunes them while they serve."""


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of WSGIApp as YAML."""
    from stablehand_operator.crd import to_yaml  # noqa: PLC0415 (run must not pay for it)

    typer.echo(to_yaml(), nl=False)


@app.command()
def run(
    *,
    namespace: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads it at runtime, also under Python 3.10)
        typer.Option(envvar="STABLEHAND_NAMESPACES", help="A namespace to watch; may be repeated. All if absent."),
    ] = None,
    bind: Annotated[
        str, typer.Option(envvar="STABLEHAND_BIND", help="Where health and metrics are served.")
    ] = _DEFAULT.bind,
    scrape_interval: Annotated[
        float, typer.Option(envvar="STABLEHAND_SCRAPE_INTERVAL", help="Seconds between two scrapes of a pod.")
    ] = _DEFAULT.scrape_interval,
    scrape_timeout: Annotated[
        float, typer.Option(envvar="STABLEHAND_SCRAPE_TIMEOUT", help="Seconds that a pod may take to answer.")
    ] = _DEFAULT.scrape_timeout,
    resync_interval: Annotated[
        float, typer.Option(envvar="STABLEHAND_RESYNC_INTERVAL", help="Seconds between two listings of everything.")
    ] = _DEFAULT.resync_interval,
    blind_after: Annotated[
        float, typer.Option(envvar="STABLEHAND_BLIND_AFTER", help="Seconds without progress until /healthz fails.")
    ] = _DEFAULT.blind_after,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="STABLEHAND_LOG_LEVEL", help="How much is logged.")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="STABLEHAND_LOG_FORMAT", help="The format of the log.")
    ] = LogFormat.TEXT,
) -> None:
    """Run the operator until it is stopped."""
    import kopf  # noqa: PLC0415 (crd and --version start faster without it)

    from stablehand_operator.cluster import ClusterError  # noqa: PLC0415 (the same)
    from stablehand_operator.main import operate  # noqa: PLC0415 (the same)

    kopf.configure(log_format=kopf.LogFormat.JSON if log_format is LogFormat.JSON else kopf.LogFormat.FULL)
    logging.getLogger().setLevel(log_level.value.upper())
    if log_level is not LogLevel.DEBUG:
        # kopf logs a line for each event, which says nothing about what was done.
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    try:
        configuration = Configuration(
            namespaces=tuple(namespace or ()),
            bind=bind,
            scrape_interval=scrape_interval,
            scrape_timeout=scrape_timeout,
            resync_interval=resync_interval,
            blind_after=blind_after,
        )
    except InvalidConfiguration as error:
        raise typer.BadParameter(str(error)) from error
    try:
        asyncio.run(operate(configuration))
    except (ClusterError, OSError) as error:
        typer.echo(f"stablehand: {error}", err=True)
        raise typer.Exit(1) from error
