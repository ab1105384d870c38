"""The command `stablehand-dev gunicorn`."""

from __future__ import annotations

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
def record() -> None:
    """Record what the installed gunicorn is like: once the server has been adapted to it."""
    recorded.write(uses.found())
