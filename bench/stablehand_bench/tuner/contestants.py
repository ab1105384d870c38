"""The servers beside the tuner's: static settings, gunicorn as it comes and as its documentation says, uWSGI, granian.

Each is started as its own documentation recommends for a machine with so many cores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import grid
from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from stablehand_bench.tuner.workloads import Workload

STABLEHAND = "stablehand-server --autotune"
DEFAULT = "gunicorn"
DOCUMENTED = "gunicorn, 2n+1"
GTHREAD = "gunicorn, gthread 2n+1 × 4"
GEVENT = "gunicorn, gevent 2n+1"
UWSGI = "uWSGI, cheaper busyness"
GRANIAN = "granian"
PEERS = (DEFAULT, DOCUMENTED, GTHREAD, GEVENT, UWSGI, GRANIAN)
ADAPTIVE = (UWSGI,)
STATIC = "static "

_APP = "stablehand_bench.apps.workload"
_MEMORY = Path("/dev/shm")  # noqa: S108 (nothing secret)
_MOST_UWSGI_PROCESSES = 64  # as many as the load has connections: more would get no requests


class NotApplicable(BenchError):  # noqa: N818 (the reason stands in a table)
    """A contestant that cannot serve a workload; the text says why."""


def static(settings: Settings) -> str:
    """Return the name of a contestant with static settings."""
    return f"{STATIC}{grid.text(settings)}"


def static_command(settings: Settings, workload: Workload, port: int, metrics_port: int) -> list[str]:
    """Return the command of our own server with settings that stay.

    The same server as the tuner's, so that what is compared is the choice of settings and nothing else.
    """
    flags = ["--worker-class", str(settings.worker_class), "--workers", str(settings.workers)]
    flags += ["--threads", str(settings.threads), "--worker-connections", str(settings.worker_connections)]
    return [*_own(port, metrics_port), *workload.flags, *flags, _app(workload)]


def command(name: str, workload: Workload, *, cores: int, port: int, metrics_port: int) -> list[str]:
    """Return the command of a contestant by its name.

    Raises:
        NotApplicable: when it cannot serve the workload.
    """
    if name == STABLEHAND:
        flags = ["--worker-class", "asgi"] if workload.asgi else []  # the one default that an ASGI app needs
        return [*_own(port, metrics_port), "--autotune", *workload.flags, *flags, _app(workload)]
    documented = 2 * cores + 1
    if name in {DEFAULT, DOCUMENTED}:
        flags = ["--worker-class", "asgi"] if workload.asgi else []
        workers = ["--workers", str(documented)] if name == DOCUMENTED else []
        return [*_gunicorn(port), *flags, *workers, _app(workload)]
    if name == GRANIAN:
        flags = ["--interface", "asgi" if workload.asgi else "wsgi", "--workers", str(cores), "--no-ws"]
        return [sys.executable, "-m", "granian", "--host", "127.0.0.1", "--port", str(port), *flags, _app(workload)]
    if workload.asgi:
        raise NotApplicable("serves no ASGI app")
    if name == GTHREAD:
        flags = ["--worker-class", "gthread", "--workers", str(documented), "--threads", "4"]
        return [*_gunicorn(port), *flags, _app(workload)]
    if name == GEVENT:
        return [*_gunicorn(port), "--worker-class", "gevent", "--workers", str(documented), _app(workload)]
    if name == UWSGI:
        return _uwsgi(port, cores, workload)
    raise BenchError(f"there is no contestant {name!r}; known are {', '.join((STABLEHAND, *PEERS))}")


def default_settings(*, asgi: bool) -> Settings:
    """Return what our server runs before the tuner has decided anything."""
    return Settings(WorkerClass.ASGI if asgi else WorkerClass.SYNC, 1)


def _app(workload: Workload) -> str:
    return workload.app or f"{_APP}:{'asgi_app' if workload.asgi else 'app'}"


def _own(port: int, metrics_port: int) -> list[str]:
    addresses = ["--bind", f"127.0.0.1:{port}", "--metrics-bind", f"127.0.0.1:{metrics_port}"]
    return [sys.executable, "-m", "stablehand_server.cli", *addresses]


def _gunicorn(port: int) -> list[str]:
    memory = ["--worker-tmp-dir", str(_MEMORY)] if _MEMORY.is_dir() else []
    return [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", *memory]


def _uwsgi(port: int, cores: int, workload: Workload) -> list[str]:
    # --http-socket: the workers speak HTTP themselves, without a router's process between them and the client. They
    # close each connection without saying so, which the header mends. The numbers of busyness are its defaults; with
    # steps of eight instead of one, all its processes are there after half a minute, not after three.
    program = str(Path(sys.executable).with_name("uwsgi"))
    flags = ["--http-socket", f"127.0.0.1:{port}", "--listen", "1024", "--master", "--die-on-term", "--need-app"]
    flags += ["--disable-logging", "--single-interpreter", "--enable-threads", "--add-header", "Connection: close"]
    flags += ["--processes", str(_MOST_UWSGI_PROCESSES), "--cheaper-algo", "busyness", "--cheaper", str(cores)]
    flags += ["--cheaper-initial", str(cores), "--cheaper-overload", "3", "--cheaper-step", "8"]
    return [program, *flags, "--module", _app(workload)]
