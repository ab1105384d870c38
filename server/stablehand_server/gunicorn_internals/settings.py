"""gunicorn's settings: the configuration, how a flag is declared, and how its value is validated.

Relied on: a subclass of `Setting` registers itself with gunicorn's parser by being defined, and replaces a setting of
gunicorn's that has its name. `Config.settings` has a `Setting` for each name, and `Config.set` is the only way to
change one. The command line takes precedence over the environment, and the environment over the configuration file.
gunicorn reads WEB_CONCURRENCY when this module is imported.
"""

from __future__ import annotations

from gunicorn import __version__ as GUNICORN_VERSION  # noqa: N812 (a constant)
from gunicorn.config import Config, Setting, Workers, validate_bool, validate_pos_int, validate_string

__all__ = [
    "GUNICORN_VERSION",
    "Config",
    "Setting",
    "Workers",
    "validate_bool",
    "validate_pos_int",
    "validate_string",
]
