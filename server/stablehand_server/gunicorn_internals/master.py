"""gunicorn's master: the arbiter, its pid file, and the exception that ends it.

Relied on: the arbiter's main loop calls `wait_for_signals`, then a handler for each signal, then `murder_workers` and
`manage_workers`; `spawn_worker` forks, and calls the hooks around the fork; `stop` sends the signals, and waits for
`WORKERS` to become empty; `LISTENERS` is what the workers that are forked next listen on; `setup` takes configuration
and log from the application. An exception that leaves a handler ends the server.
"""

from __future__ import annotations

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.pidfile import Pidfile

__all__ = ["Arbiter", "HaltServer", "Pidfile"]
