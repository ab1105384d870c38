"""gunicorn's applications: what loads the configuration and the app, and starts the arbiter.

Relied on: `Application.run` does what its flags ask for and ends in `BaseApplication.run`; `load_default_config` and
`load_config` can be called again on a copy, which then has a configuration of its own; `callable` is the app where it
is preloaded, and None makes it load anew.
"""

from __future__ import annotations

from gunicorn.app.base import BaseApplication
from gunicorn.app.wsgiapp import WSGIApplication

__all__ = ["BaseApplication", "WSGIApplication"]
