"""The apps with hazards: what each needs, where it breaks, and how many requests a tuner may fail to find that out.

The numbers of `touch`: where a ceiling can only be found by touching it, 0.2 % of all requests; where a class has to be
tried to be known as bad, 50; elsewhere none.
"""

from __future__ import annotations

import dataclasses
import enum

from stablehand_bench.apps.hazards.page import READY
from stablehand_bench.tuner.workloads import Workload
from stablehand_tuner.contracts.settings import Settings, WorkerClass

_SYNC, _GTHREAD, _GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT


class Touch(enum.Enum):
    """What a tuner has to touch to know the hazard."""

    CEILING = "a ceiling"
    CLASS = "a class"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Hazard:
    """An app with a hazard.

    `breaks` are settings that show it: they fail requests, or with `is_slow` serve less than half of the best, or at
    more than twice its p99. `max_connections` is the limit of the PostgreSQL that it needs, 0 without one; `upstream`
    whether it asks `apps/hazards/upstream.py`. `warm_up` is how long, in seconds, until a server's throughput is what
    it stays, `measured` how long it takes to see that.
    """

    workload: Workload
    touch: Touch
    breaks: Settings
    is_slow: bool = False
    max_connections: int = 0
    upstream: bool = False
    logins: bool = False
    warm_up: int = 1
    measured: int = 2

    @property
    def name(self) -> str:
        """The name by which it is chosen."""
        return self.workload.name


def _app(name: str, title: str, *flags: str, module: str = "", memory_mib: int | None = None) -> Workload:
    module = module or name.replace("-", "_")
    return Workload(
        name,
        title,
        "/",
        memory_mib=memory_mib,
        app=f"stablehand_bench.apps.hazards.{module}:app",
        flags=flags,
        readiness=READY,
    )


ALL = (
    Hazard(
        _app("postgres", "one PostgreSQL connection a thread, `max_connections` 20"),
        Touch.CEILING,
        Settings(_GTHREAD, 2, threads=64),
        max_connections=20,
    ),
    Hazard(
        _app("lock", "one lock around 20 ms in each process"),
        Touch.NOTHING,
        Settings(_GTHREAD, 1, threads=64),
        is_slow=True,
    ),
    Hazard(
        _app("pool", "SQLAlchemy pool 5 + 10 in each process, `pool_timeout` 3 s"),
        Touch.NOTHING,
        Settings(_GTHREAD, 1, threads=64),
        is_slow=True,
        max_connections=200,
    ),
    Hazard(
        _app("child", "work done by a child process"),
        Touch.NOTHING,
        Settings(_GTHREAD, 4, threads=64),
        is_slow=True,
    ),
    Hazard(
        _app("rare-slow", "2 % of requests take 3 s, the rest 10 ms"),
        Touch.NOTHING,
        Settings(_SYNC, 2),
        is_slow=True,
        warm_up=4,
        measured=6,
    ),
    Hazard(
        _app("numpy", "numpy with threads of its own", module="linear_algebra"),
        Touch.NOTHING,
        Settings(_SYNC, 4),
        is_slow=True,
    ),
    Hazard(
        _app("memory", "20 MB for each request in flight, limit 600 MB", memory_mib=600),
        Touch.CEILING,
        Settings(_GTHREAD, 2, threads=64),
    ),
    Hazard(
        _app("greenlets", "greenlets break it: one answer in five is a 500"),
        Touch.CLASS,
        Settings(_GEVENT, 2),
    ),
    Hazard(
        _app("two-kinds", "90 % in 0.2 ms, 10 % wait 150 ms"),
        Touch.NOTHING,
        Settings(_SYNC, 2),
        is_slow=True,
    ),
    Hazard(
        _app("async-views", "async views of a framework on WSGI"),
        Touch.CLASS,
        Settings(_GEVENT, 2),
    ),
    Hazard(
        _app("main-thread", "asyncio in the main thread only", module="main_thread_asyncio"),
        Touch.CLASS,
        Settings(_GTHREAD, 2, threads=16),
    ),
    Hazard(
        _app("logins", "logins in the process's memory, `-w 1` on the command line", "--workers", "1"),
        Touch.NOTHING,
        Settings(_SYNC, 2),
        logins=True,
    ),
    Hazard(
        _app("self-patched", "the app patches itself for gevent"),
        Touch.CLASS,
        Settings(_GTHREAD, 2, threads=16),
    ),
    Hazard(
        _app("preloaded-tls", "`--preload` with ssl loaded, one TLS call in 400", "--preload"),
        Touch.CLASS,
        Settings(_GEVENT, 2),
    ),
    Hazard(
        _app("rate-limited", "an upstream that answers 429 beyond 12 at once"),
        Touch.CEILING,
        Settings(_GTHREAD, 2, threads=64),
        upstream=True,
    ),
    Hazard(
        _app("slowing-upstream", "an upstream that slows as more ask at once"),
        Touch.NOTHING,
        Settings(_GTHREAD, 2, threads=64),
        is_slow=True,
        upstream=True,
    ),
    Hazard(
        _app("http-pool", "a pool of 4 connections in each process, 0.5 s patience"),
        Touch.CEILING,
        Settings(_GTHREAD, 1, threads=64),
        upstream=True,
    ),
    Hazard(
        _app("cold-cache", "a cache of each process that costs 1 s of CPU to fill"),
        Touch.NOTHING,
        Settings(_SYNC, 1),
        is_slow=True,
        warm_up=5,
        measured=3,
    ),
    Hazard(
        _app("sqlite", "writes to a SQLite file, 1 s patience"),
        Touch.CEILING,
        Settings(_GTHREAD, 2, threads=64),
    ),
    Hazard(
        _app("alarm", "`signal.alarm` in each request"),
        Touch.CLASS,
        Settings(_GTHREAD, 2, threads=16),
    ),
    Hazard(
        _app("shared-buffer", "a renderer with one buffer: wrong contents under threads"),
        Touch.CLASS,
        Settings(_GTHREAD, 2, threads=16),
    ),
    Hazard(
        _app("thread-buffers", "12 MB kept by each thread that ever served, limit 600 MB", memory_mib=600),
        Touch.CEILING,
        Settings(_GTHREAD, 2, threads=64),
    ),
    Hazard(
        _app("forking", "forks while another thread holds a lock"),
        Touch.CLASS,
        Settings(_GTHREAD, 2, threads=16),
    ),
    Hazard(
        _app("open-files", "12 open files a request, 256 a process"),
        Touch.CEILING,
        Settings(_GTHREAD, 1, threads=64),
    ),
)
BY_NAME = {hazard.name: hazard for hazard in ALL}
