"""The command `stablehand-dev`. A subcommand's module is imported only when it is used or listed."""

import importlib
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from stablehand_dev.errors import DevelopmentError

# Each subcommand's module; it has a typer application named `app`.
SUBCOMMANDS = {
    "cluster": "stablehand_dev.cluster.cli",
    "images": "stablehand_dev.images.cli",
    "demo": "stablehand_dev.demo.cli",
    "local": "stablehand_dev.demo.local_cli",
    "load": "stablehand_dev.load.cli",
    "dashboard": "stablehand_dev.dashboard.cli",
    "architecture": "stablehand_dev.architecture.cli",
    "gunicorn": "stablehand_dev.gunicorn_uses.cli",
    "release": "stablehand_dev.release",
}


class _LazyGroup(TyperGroup):
    """A group whose commands are loaded by name, so that one command's imports do not slow down the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in SUBCOMMANDS if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class's signature
        module = SUBCOMMANDS.get(cmd_name)
        if module is None or not _is_there(module):
            return None
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command


def _is_there(module: str) -> bool:
    """Return whether a module exists, without importing it, so that errors in it are not mistaken for its absence."""
    return (Path(__file__).parents[1] / module.replace(".", "/")).with_suffix(".py").exists()


app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _tools() -> None:
    """Tools of Stablehand's repository: cluster, images, demonstration, dashboard, generated records."""


def main() -> None:
    """Run the command; an error that its user can act on is printed as text, without a traceback."""
    try:
        app()
    except DevelopmentError as error:
        print(f"stablehand-dev: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
