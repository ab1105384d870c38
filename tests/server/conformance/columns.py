"""The worker classes that are compared: what each side runs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """One worker class of ours beside the one of gunicorn's that an app would otherwise run under.

    `interface` is what the app speaks, `note` says why the two sides differ where they do. A class that serves one
    request at a time has `serial`: whoever waits there makes everybody wait.
    """

    name: str
    ours: tuple[str, ...]
    gunicorn: tuple[str, ...]
    interface: str = "wsgi"
    serial: bool = False
    note: str = ""

    def patience(self, kind: str) -> float:
        """Return for how many seconds a client waits: gunicorn's tornado never answers where an app raises."""
        return 6.0 if (kind, self.name) == (GUNICORN, "tornado") else 25.0

    @property
    def has_threads(self) -> bool:
        """Whether the class counts threads; others would become gthread if they were told a number."""
        return any(flag.startswith("--threads") for flag in self.ours)

    def flags(self, kind: str) -> tuple[str, ...]:
        """Return the flags that choose the worker class of either server."""
        return self.ours if kind == OURS else self.gunicorn


GUNICORN, OURS = "gunicorn", "stablehand"
KINDS = (GUNICORN, OURS)

_THREADS = ("--worker-class=gthread", "--threads=8")
_GEVENT = ("--worker-class=gevent",)

COLUMNS = {
    column.name: column
    for column in (
        Column("sync", ("--worker-class=sync",), ("--worker-class=sync",), serial=True),
        Column("gthread", _THREADS, _THREADS),
        Column("gevent", _GEVENT, _GEVENT),
        Column(
            "eventlet", ("--worker-class=eventlet",), _GEVENT, note="gunicorn has removed the class: beside its gevent"
        ),
        Column("tornado", ("--worker-class=tornado",), ("--worker-class=tornado",), serial=True),
        Column("asgi", ("--worker-class=asgi",), ("--worker-class=asgi",), interface="asgi"),
        Column(
            "asgi-wsgi",
            ("--worker-class=asgi", "--threads=8"),
            _THREADS,
            note="a WSGI app under asgi, which gunicorn cannot serve: beside its gthread",
        ),
    )
}
ALL = frozenset(COLUMNS)
WSGI = frozenset(name for name, column in COLUMNS.items() if column.interface == "wsgi")
ASGI = ALL - WSGI
CONCURRENT = frozenset(name for name, column in COLUMNS.items() if not column.serial)
STREAMING = ALL - {"tornado"}  # which sends a response when it is complete
