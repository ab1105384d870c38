"""gunicorn's loggers, which write the access log too.

Relied on: `access` formats a line from what `atoms` returns, wrapped by the class that `atoms_wrapper_class` names;
`Statsd` also sends the metric that `metric`, `value` and `mtype` in a line's `extra` describe.
"""

from __future__ import annotations

from gunicorn.glogging import Logger, SafeAtoms
from gunicorn.instrument.statsd import Statsd

__all__ = ["Logger", "SafeAtoms", "Statsd"]
