"""The command `stablehand-dev architecture`."""

from __future__ import annotations

import typer

from stablehand_dev.architecture import page

app = typer.Typer(no_args_is_help=True, help="The drawing of the packages in docs/architecture.md.")


@app.callback()
def _group() -> None:
    """Keep `generate` a command of its own, although it is the only one."""


@app.command()
def generate() -> None:
    """Draw the packages anew from what the code imports."""
    page.PAGE.write_text(page.renewed(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
