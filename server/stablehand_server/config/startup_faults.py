"""Logs an error that ends the start where errors are logged: the stderr of a service or a daemon may go unread."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config

# Where gunicorn's log may go besides stderr: the settings that send it there.
_PLACES = ("logconfig", "logconfig_json", "logconfig_dict", "syslog")
_STDERR = "-"


def log(config: Config | None, why: str, *, command_line: bool) -> None:
    """Log why the server does not start, unless the log is stderr, where it is printed anyway.

    Args:
        config: the configuration, as far as it could be loaded.
        why: the message, or the traceback.
        command_line: whether the process's arguments are flags of gunicorn's.
    """
    if config is None:
        return
    if command_line:
        _take_flags(config)
    if config.errorlog == _STDERR and not any(getattr(config, name) for name in _PLACES):
        return
    try:
        config.logger_class(config).error("The server does not start: %s", why)
    except Exception as error:  # noqa: BLE001 (whatever the user's logger raises; the error is reported elsewhere)
        sys.stderr.write(f"\nThe log cannot be written: {error}\n")


def _take_flags(config: Config) -> None:
    """Apply the command line's log settings, even if loading the configuration failed before they were read."""
    with contextlib.suppress(SystemExit):  # invalid flags: argparse has reported them, there is nothing to read
        given = vars(config.parser().parse_known_args()[0])
        for name in ("errorlog", *_PLACES):
            if given.get(name) is not None:
                with contextlib.suppress(Exception):  # that value may be the error
                    config.set(name, given[name])
