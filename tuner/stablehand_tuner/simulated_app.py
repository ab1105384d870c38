"""What the simulator simulates: an app, and the machine it runs on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_tuner.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class App:
    """What a request of the app does; seconds, bytes.

    `jitter` is the relative standard deviation of both times. `thread_overhead` is CPU that each further request in
    the same process costs under gthread (the convoy). `blocks_event_loop` says that the app waits inside a C call,
    so that under gevent nobody else in the process advances. `error_share` is by worker class.
    """

    compute: float
    wait: float = 0.0
    jitter: float = 0.1
    thread_overhead: float = 0.0
    blocks_event_loop: bool = False
    error_share: Mapping[WorkerClass, float] = dataclasses.field(default_factory=dict)
    process_bytes: float = 50e6
    request_bytes: float = 0.0


@dataclasses.dataclass(frozen=True)
class Machine:
    """What the pod may use; `boot_seconds` is from new settings to their being active."""

    cores: float = 2.0
    memory_limit: float | None = 1e9
    available_classes: frozenset[WorkerClass] = frozenset({WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT})
    blocking_modules: frozenset[str] = frozenset()
    boot_seconds: float = 1.0
    refuses: Callable[[Settings], bool] = lambda _settings: False
