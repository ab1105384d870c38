"""`python -m stablehand_dev.load` is `stablehand-dev load`: what `BackgroundLoad` runs."""

from stablehand_dev.load.cli import app

if __name__ == "__main__":
    app()
