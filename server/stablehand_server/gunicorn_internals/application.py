"""gunicorn's applications: what loads the configuration and the app, and starts the arbiter.

Relied on: `Application.run` does what its flags ask for and ends in `BaseApplication.run`; `load_default_config` and
`load_config` can be called again on a copy, which then has its own configuration; `callable` is the app if it is
preloaded, and setting it to None makes it load again.
"""

from __future__ import annotations

from gunicorn.app.base import BaseApplication
from gunicorn.app.wsgiapp import WSGIApplication

__all__ = ["BaseApplication", "WSGIApplication"]
