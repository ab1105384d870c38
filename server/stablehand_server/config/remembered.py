"""gunicorn's configuration, quick to ask.

gunicorn looks a setting up by three Python calls each time, and asks for twenty while it serves a request: a tenth of
what the smallest request costs. Here each setting also becomes an ordinary attribute, which `set` keeps up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config


def remember(config: Config) -> None:
    """Make each setting an attribute of a worker's configuration, once nothing but `set` changes it any more.

    gunicorn's own properties, like `is_ssl`, go before the attributes, and read them.
    """
    original = config.set

    def set_and_remember(name: str, value: Any) -> None:
        original(name, value)
        config.__dict__[name] = config.settings[name].get()

    config.__dict__.update({name: setting.get() for name, setting in config.settings.items()})
    config.__dict__["set"] = set_and_remember
