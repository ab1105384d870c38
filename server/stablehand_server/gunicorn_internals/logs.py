"""gunicorn's loggers, which write the access log too.

Relied on: `access` formats a line from what `atoms` returns, wrapped by the class that `atoms_wrapper_class` names;
`Statsd` also sends what `metric`, `value` and `mtype` in a line's `extra` say.
"""

from __future__ import annotations

from gunicorn.glogging import Logger, SafeAtoms
from gunicorn.instrument.statsd import Statsd

__all__ = ["Logger", "SafeAtoms", "Statsd"]
