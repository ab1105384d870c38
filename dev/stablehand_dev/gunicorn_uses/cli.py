"""The command `stablehand-dev gunicorn`."""

from __future__ import annotations

from typing import Annotated

import typer

from stablehand_dev.errors import DevelopmentError
from stablehand_dev.gunicorn_uses import record as recorded
from stablehand_dev.gunicorn_uses import uses

app = typer.Typer(no_args_is_help=True, help="What the server uses of gunicorn, and what has changed of it.")


@app.command()
def check() -> None:
    """Say what the installed gunicorn has changed of what the server uses."""
    changes = recorded.changes_of_installed()
    if changes:
        raise DevelopmentError("\n".join(changes))


@app.command()
def record(
    *,
    new: Annotated[
        bool, typer.Option("--new", help="Add what the server uses newly; keep all that is recorded.")
    ] = False,
) -> None:
    """Record what the installed gunicorn is like: once the server has been adapted to it."""
    found = uses.found()
    recorded.write({**found, **recorded.read()} if new else found)
