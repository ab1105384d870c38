"""What the contestants serve, and under which load: twelve kinds of app, and three more that a prize was stated for."""

from __future__ import annotations

import dataclasses
import math

from stablehand_bench.tuner.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Load:
    """A closed loop over so many connections, or arrivals that follow a schedule (an open loop); never both."""

    name: str
    connections: int = 0
    schedule: Schedule | None = None

    def whole(self, seconds: int) -> int:
        """Return so many seconds, and more until the last period is whole: each measurement has the same bursts."""
        period = self.schedule.period_seconds if self.schedule is not None else 0.0
        return math.ceil(math.ceil(seconds / period) * period) if period else seconds


CLOSED_64 = Load("64 connections", connections=64)
CLOSED_16 = Load("16 connections", connections=16)


def at_rate(per_second: float) -> Load:
    """Return an open loop at a fixed rate."""
    return Load(f"{per_second:g}/s", schedule=Schedule(per_second))


_BURSTS = Load(
    "20/s, every 10 s for 2 s 400/s", schedule=Schedule(20, burst_per_second=400, burst_seconds=2, period_seconds=10)
)


@dataclasses.dataclass(frozen=True)
class Workload:
    """An app and its loads.

    `path` is what `apps/workload.py` is asked for, `memory_mib` the limit of its cgroup, `cache_mib` what each process
    keeps, `backend` whether it needs the slow backend. `prize` is whether it is one of the five kinds for which a gain
    over the documented default was measured on plain gunicorn; `extra` are those that are there for that alone. The
    rates of open loops are about half of what two cores can serve.

    `app` is another app than those of `apps/workload.py`, as `module:name`, `flags` what its user has put on the
    command line, and `readiness` the path that is answered with 200 as soon as the server has started.
    """

    name: str
    title: str
    path: str
    loads: tuple[Load, ...] = (CLOSED_64,)
    asgi: bool = False
    memory_mib: int | None = None
    cache_mib: int = 0
    backend: bool = False
    prize: bool = False
    extra: bool = False
    app: str = ""
    flags: tuple[str, ...] = ()
    readiness: str = "/"


ALL = (
    Workload("hello", "hello", "/"),
    Workload("compute-5", "computing 5 ms", "/compute/5", (CLOSED_64, CLOSED_16, at_rate(150))),
    Workload("compute-50", "computing 50 ms", "/compute/50"),
    Workload("short-waits", "10 ms wait, 0.5 ms CPU", "/both/0.5/10"),
    Workload("long-waits", "200 ms wait", "/wait/200", (CLOSED_64, CLOSED_16, at_rate(100))),
    Workload(
        "mixed", "30 % computing 8 ms, 70 % wait 50 ms", "/mixed", (CLOSED_64, CLOSED_16, at_rate(200)), prize=True
    ),
    Workload("bursty", "20 ms wait, 1 ms CPU, in bursts", "/both/1/20", (_BURSTS,)),
    Workload("memory", "50 ms wait, 48 MiB a process, limit 512 MiB", "/hold/50", memory_mib=512, cache_mib=48),
    Workload("blocking-c", "C call that blocks 50 ms", "/block/50", (CLOSED_64, CLOSED_16), prize=True),
    Workload("releasing-c", "C call that computes without the lock", "/hash/20000"),
    Workload("slow-backend", "backend with a pool of 10, 50 ms each", "/backend", backend=True),
    Workload("asgi", "ASGI app, 50 ms wait, 1 ms CPU", "/both/1/50", asgi=True),
    Workload("wait-100", "100 ms wait", "/wait/100", prize=True, extra=True),
    Workload("wait-400", "400 ms wait", "/wait/400", prize=True, extra=True),
    Workload("compute-10", "computing 10 ms", "/compute/10", prize=True, extra=True),
)
BY_NAME = {workload.name: workload for workload in ALL}
QUICK = ("compute-5", "long-waits", "mixed")
