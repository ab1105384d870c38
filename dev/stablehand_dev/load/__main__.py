"""`python -m stablehand_dev.load` is `stablehand-dev load`: what `BackgroundLoad` runs."""

import typer

from stablehand_dev.load.command import load

if __name__ == "__main__":
    typer.run(load)
