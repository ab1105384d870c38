"""The command `stablehand-dev architecture`."""

from __future__ import annotations

import typer

from stablehand_dev.architecture import page

app = typer.Typer(no_args_is_help=True, help="The drawing of the packages in docs/architecture.md.")


@app.callback()
def _group() -> None:
    """Keep `generate` a separate command, although it is the only one."""


@app.command()
def generate() -> None:
    """Regenerate the diagram of the packages from what the code imports."""
    page.PAGE.write_text(page.renewed(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
