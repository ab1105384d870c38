"""What is simulated: an app, the machine that each of its pods runs on."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

EVENTED = frozenset({WorkerClass.GEVENT, WorkerClass.EVENTLET, WorkerClass.ASGI})
"""The classes that serve all requests of a process in one thread, each until it waits."""

CONVOY = 3
"""The number of other threads that compute in the same process, above which the lock does not get slower."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of request beside the app's usual one: its share of all requests, and its seconds."""

    share: float
    compute: float
    wait: float = 0.0


@dataclasses.dataclass(frozen=True)
class App:
    """What a request of the app does; seconds, bytes.

    `compute` holds the interpreter's lock, `compute_unlocked` does not (a C extension that releases it). `jitter` is
    the relative standard deviation of all three times. `kinds` are further kinds of requests. `thread_overhead` is the
    additional CPU for each other request, of at most `CONVOY`, that computes in the same process under gthread: the
    convoy at the interpreter's lock. `blocks_event_loop` is true if the app waits inside a C call, so that under an
    event loop no other request of the process advances. `error_share` is by worker class. `request_bytes` is what a
    request holds while it is in a process.

    What requests wait for may be limited. `process_connections` is how many requests of one process can wait for it at
    once, while the others queue: a connection pool, or with 1 a lock. `pod_connections` is how many requests of a pod
    can: any more fail after `refused_seconds`, as where a database refuses connections.

    Raises:
        ValueError: when both are limited, which is not modelled.
    """

    compute: float
    wait: float = 0.0
    jitter: float = 0.1
    thread_overhead: float = 0.0
    blocks_event_loop: bool = False
    error_share: Mapping[WorkerClass, float] = dataclasses.field(default_factory=dict)
    process_bytes: float = 50e6
    request_bytes: float = 0.0
    compute_unlocked: float = 0.0
    kinds: tuple[Kind, ...] = ()
    process_connections: float = math.inf
    pod_connections: float = math.inf
    refused_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not modelled."""
        if math.isfinite(self.process_connections) and math.isfinite(self.pod_connections):
            raise ValueError("either process_connections or pod_connections can be limited, not both")

    def draw(self, chance: random.Random) -> tuple[float, float, float]:
        """Return what one request does: seconds of computing, of computing without the lock, and of waiting."""
        compute, wait = self.compute, self.wait
        if self.kinds:
            place = chance.random()
            for kind in self.kinds:
                if place < kind.share:
                    compute, wait = kind.compute, kind.wait
                    break
                place -= kind.share
        return self._vary(compute, chance), self._vary(self.compute_unlocked, chance), self._vary(wait, chance)

    def _vary(self, mean: float, chance: random.Random) -> float:
        return max(mean * 0.05, chance.gauss(mean, mean * self.jitter)) if mean else 0.0

    def moments(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return mean and variance of the computing, and of the waiting, over all kinds of requests."""
        usual = Kind(1 - sum(kind.share for kind in self.kinds), self.compute, self.wait)
        kinds = (usual, *self.kinds)

        def over_kinds(seconds: Callable[[Kind], float]) -> tuple[float, float]:
            mean = sum(kind.share * seconds(kind) for kind in kinds)
            square = sum(kind.share * seconds(kind) ** 2 * (1 + self.jitter**2) for kind in kinds)
            return mean, max(0.0, square - mean**2)

        return over_kinds(lambda kind: kind.compute), over_kinds(lambda kind: kind.wait)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What one pod may use.

    `cores` is the CPU limit, or all cores of the node; `node_cores` are those of the node: if the limit is lower, the
    kernel throttles the pod. `boot_seconds` is how long a worker takes to boot. `refuses` returns whether the server
    refuses settings. `listen_backlog` is how many connections the kernel queues; it refuses any more.
    """

    cores: float = 2.0
    memory_limit: float | None = 1e9
    available_classes: frozenset[WorkerClass] = frozenset({WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT})
    blocking_modules: frozenset[str] = frozenset()
    boot_seconds: float = 1.0
    refuses: Callable[[Settings], bool] = lambda _settings: False
    node_cores: int | None = None
    listen_backlog: int = 2048

    @property
    def whole_cores(self) -> int:
        """The cores that the pod's processes may run on at the same time."""
        return self.node_cores or max(1, math.ceil(self.cores))

    @property
    def is_throttled(self) -> bool:
        """Whether the CPU limit, not the number of cores, bounds the computing."""
        return self.cores < self.whole_cores
