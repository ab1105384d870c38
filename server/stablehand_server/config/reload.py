"""SIGHUP: reloads the configuration, and keeps the master's part of the former one so that it can be rolled back."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.master import Pidfile

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config


@dataclasses.dataclass(frozen=True)
class Footing:
    """What a generation's configuration uses in the master: the app, and the sockets that it listens on.

    `app` is its loaded callable where the app is preloaded, else None.
    """

    config: Config
    app_uri: str | None
    app: Any
    listeners: tuple[Any, ...]


def read_anew(application: Any, running: Config) -> Any:
    """Return the application with its current configuration, tried as far as possible without affecting what runs.

    Raises:
        Exception: whatever is wrong with the configuration; SystemExit where gunicorn itself exits.
    """
    reloaded = application.reloaded()
    _ = reloaded.cfg.env  # raises where one is no NAME=VALUE
    if reloaded.cfg.preload_app and not running.preload_app:
        reloaded.wsgi()
    if running.preload_app:  # as with gunicorn: a preloaded app's code stays
        reloaded.callable = application.callable
    return reloaded


def stand_on(arbiter: Any, footing: Footing) -> None:
    """Switch the master to another configuration, log, environment, app, listeners and pid file."""
    _restore_environment(arbiter.cfg)
    arbiter.app.cfg, arbiter.app.app_uri, arbiter.app.callable = footing.config, footing.app_uri, footing.app
    arbiter.setup(arbiter.app)
    arbiter.LISTENERS = list(footing.listeners)
    if arbiter.pidfile is not None:
        arbiter.pidfile.unlink()
        arbiter.pidfile = None
    if arbiter.cfg.pidfile is not None:
        arbiter.pidfile = Pidfile(arbiter.cfg.pidfile)
        try:
            arbiter.pidfile.create(arbiter.pid)
        except Exception:  # no permission for the directory, another server's file: no reason to stop serving
            arbiter.pidfile = None
            arbiter.log.exception("Part of the reload failed: there is no pid file now")


def _restore_environment(config: Config) -> None:
    for name in config.env:
        if name in config.env_orig:
            os.environ[name] = config.env_orig[name]
        else:
            os.environ.pop(name, None)
