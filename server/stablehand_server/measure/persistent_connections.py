"""Whether each thread of the app keeps a database connection, as Django's do with CONN_MAX_AGE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_DATABASE = ("", "django.db.backends.dummy", "django.db.backends.sqlite3")


def keeps_connections(modules: Mapping[str, Any]) -> bool:
    """Return whether it does; `modules` is sys.modules. Settings that are not loaded yet are not loaded for this."""
    settings: Any = getattr(modules.get("django.conf"), "settings", None)
    try:
        if not getattr(settings, "configured", False):
            return False
        return any(_is_kept(database) for database in settings.DATABASES.values())
    except Exception:  # noqa: BLE001 (settings may be any object, and run the app's code)
        return False


def _is_kept(database: Mapping[str, Any]) -> bool:
    # None keeps a connection for ever; with a pool, it goes back there after each request.
    ages = database.get("CONN_MAX_AGE", 0)
    return database.get("ENGINE", "") not in _NO_DATABASE and ages != 0 and not database.get("OPTIONS", {}).get("pool")
