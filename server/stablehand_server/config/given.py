"""Which of the settings that a tuner may change somebody has given: by flag, variable or configuration file.

The value does not show that: who gives one worker on the command line means it, though one is the default as well.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stablehand_server.config import container_defaults
from stablehand_server.gunicorn_internals.settings import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

TUNED = ("worker_class", "workers", "threads", "worker_connections")
_BY_VARIABLE = container_defaults.number_by_variable(os.environ)  # read once, as gunicorn reads its default


class RecordingConfig(Config):
    """gunicorn's configuration, which records what is set after it was made; copies of it keep the record."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        super().__init__(usage, prog)
        self.given: dict[str, Any] = {} if _BY_VARIABLE is None else {"workers": _BY_VARIABLE}

    def set(self, name: str, value: Any) -> None:
        """Set a value, and record it if it is one of TUNED; `auto` leaves the number of workers to the server."""
        super().set(name, value)
        if name not in TUNED:
            return
        if name == "workers" and container_defaults.is_auto(value):
            self.given.pop(name, None)
        else:
            self.given[name] = self.settings[name].get()


def given(config: Config) -> Mapping[str, Any]:
    """Return what was given of TUNED, each with its value; nothing for a configuration object of a program's own."""
    found: Mapping[str, Any] = getattr(config, "given", {})
    return found
