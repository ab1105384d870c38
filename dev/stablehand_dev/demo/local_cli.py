"""The command `stablehand-dev local`."""

from __future__ import annotations

import typer
from rich.console import Console

from stablehand_dev.demo import figures, local
from stablehand_dev.demo.watching import CONNECTIONS, RequestsFailedError, watch

app = typer.Typer()

# --autotune's own windows are short; with them everything is over in about 15 seconds.
_QUIET_SECONDS = 6.0
_LONGEST_SECONDS = 60.0


@app.command()
def run() -> None:
    """Show the tuner at work on this machine: the waiting example, loaded, from one sync worker. Half a minute."""
    console = Console(highlight=False)
    console.print(
        f"The example app waits 100 ms a request; {CONNECTIONS} clients ask; it starts with one sync worker.",
        soft_wrap=True,
    )
    with local.running() as server:
        result = watch(console, server.url, server.read, quiet=_QUIET_SECONDS, longest=_LONGEST_SECONDS, every=0.5)
    figures.show(console, result)
    if result.whole.failed:
        raise RequestsFailedError(f"{result.whole.failed} requests failed")
    console.print("The same for an app of yours: stablehand-server --autotune module:app")
