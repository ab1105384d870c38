"""The command `stablehand-server`."""

from __future__ import annotations

from stablehand_server.config import container_defaults
from stablehand_server.master import pid1


def main() -> None:
    """Run `stablehand-server [OPTIONS] module:app`: gunicorn's flags, and those of `--help`'s section Stablehand."""
    pid1.end_on_sigterm()
    container_defaults.resolve_variable()
    from stablehand_server.application import LiveApplication  # noqa: PLC0415 (gunicorn reads the variable at import)

    LiveApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="stablehand-server").run()


if __name__ == "__main__":
    main()
