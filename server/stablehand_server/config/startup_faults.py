"""A fault that ends the start, told where errors are logged: a service's stderr, or a daemon's, is read by nobody."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config

# Where gunicorn's log may go besides stderr, and the settings that say so.
_PLACES = ("logconfig", "logconfig_json", "logconfig_dict", "syslog")
_STDERR = "-"


def log(config: Config | None, why: str, *, command_line: bool) -> None:
    """Log why the server does not start, unless the log is stderr, where it is said anyway.

    Args:
        config: the configuration, as far as it could be loaded.
        why: the sentence, or the traceback.
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
    except Exception as error:  # noqa: BLE001 (whatever a logger of the user's does; the fault itself is said elsewhere)
        sys.stderr.write(f"\nThe log cannot be written: {error}\n")


def _take_flags(config: Config) -> None:
    """Let the command line's word on the log hold, also where the configuration broke off before it was read."""
    with contextlib.suppress(SystemExit):  # flags that are none: argparse has said so, and there is nothing to know
        given = vars(config.parser().parse_known_args()[0])
        for name in ("errorlog", *_PLACES):
            if given.get(name) is not None:
                with contextlib.suppress(Exception):  # that value may be the fault
                    config.set(name, given[name])
