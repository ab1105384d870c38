"""gunicorn's configuration with fast access to settings.

gunicorn looks up a setting through three Python calls, and looks up twenty while it serves a request: a tenth of the
cost of the smallest request. Here each setting also becomes an ordinary attribute, which `set` keeps up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config


def remember(config: Config) -> None:
    """Make each setting an attribute of a worker's configuration, once only `set` changes it.

    gunicorn's own properties, such as `is_ssl`, take precedence over the attributes, and read them.
    """
    original = config.set

    def set_and_remember(name: str, value: Any) -> None:
        original(name, value)
        config.__dict__[name] = config.settings[name].get()

    config.__dict__.update({name: setting.get() for name, setting in config.settings.items()})
    config.__dict__["set"] = set_and_remember
