"""The command `stablehand-server`."""

from __future__ import annotations

from stablehand_server.application import LiveApplication


def main() -> None:
    """Run `stablehand-server [OPTIONS] module:app`: gunicorn's flags, and those of `--help`'s section Stablehand."""
    LiveApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="stablehand-server").run()


if __name__ == "__main__":
    main()
