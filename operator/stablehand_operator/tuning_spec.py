"""`spec.tuning`: the tuner's policy as the resource writes it.

The fields and their ranges are those of `stablehand_tuner.policy`. The defaults are only there: the policy fills in
what is absent from the resource.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stablehand_operator.kubernetes_types import Model
from stablehand_tuner.contracts.settings import THREADS, WORKER_CONNECTIONS, WORKERS, Range
from stablehand_tuner.policy import CHANGES_PER_HOUR, Policy


def _ordered(name: str) -> ConfigDict:
    message = f"tuning.{name}.min is greater than tuning.{name}.max"
    expression = "!has(self.min) || !has(self.max) || self.min <= self.max"
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": [{"rule": expression, "message": message}]})


def _within(allowed: Range) -> Field:  # type: ignore[valid-type]  # Field is a function that poses as a type
    return Field(default=None, ge=allowed.lowest, le=allowed.highest)


class WorkersBounds(Model):
    """How many worker processes the tuner may run."""

    model_config = _ordered("workers")

    min: int | None = _within(WORKERS)
    """At least this many; 1 if absent."""
    max: int | None = _within(WORKERS)
    """At most this many; if absent, as many as cores and memory allow."""


class ThreadsBounds(Model):
    """How many threads the tuner may give to a gthread worker."""

    model_config = _ordered("threads")

    min: int | None = _within(THREADS)
    """At least this many."""
    max: int | None = _within(THREADS)
    """At most this many."""


class WorkerConnectionsBounds(Model):
    """How many connections the tuner may give to a gevent worker."""

    model_config = _ordered("workerConnections")

    min: int | None = _within(WORKER_CONNECTIONS)
    """At least this many."""
    max: int | None = _within(WORKER_CONNECTIONS)
    """At most this many."""


_Seconds = Annotated[float, Field(gt=0, le=1_000_000)]
_SecondsOrZero = Annotated[float, Field(ge=0, le=1_000_000)]


class Windows(Model):
    """How long the tuner observes before it acts. The defaults suit most apps."""

    warm_up_seconds: _SecondsOrZero | None = None
    """No decision for this long after the pods start."""
    warm_up_requests: _SecondsOrZero | None = None
    """No decision before this many requests were served."""
    decision_seconds: _Seconds | None = None
    """How long the tuner observes before it decides."""
    minimum_requests: _Seconds | None = None
    """How many requests a window needs to be judged."""
    trial_seconds: _Seconds | None = None
    """How long a change is compared with the time before; a canary with its siblings, at least."""
    canary_seconds: _Seconds | None = None
    """How long a canary without a clear result may run."""
    cool_down_seconds: _SecondsOrZero | None = None
    """How long the tuner waits after a change."""
    apply_seconds: _Seconds | None = None
    """How long the servers may take to run new settings."""
    shrink_seconds: _Seconds | None = None
    """How long demand must be low before the app shrinks."""
    backlog_alarm: _Seconds | None = None
    """Connections waiting in the kernel that call for more slots at once."""


class TuningSpec(Model):
    """How far the tuner may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.workerClasses) || self.workerClasses != ['sync'] || !has(self.threads) || "
                    "!has(self.threads.min) || self.threads.min <= 1",
                    "message": "tuning.threads.min is more than 1, but tuning.workerClasses allows only sync, "
                    "which has one thread",
                }
            ]
        }
    )

    mode: Literal["Off", "Recommend", "Auto"] | None = None
    """Off: the settings are those of the spec. Recommend: only advise. Auto (the default): change the settings."""
    objective: Literal["latency", "throughput", "cost"] | None = None
    """What to optimize: short responses, the most requests (the default), or the fewest processes and least memory."""
    workers: WorkersBounds | None = None
    """Bounds of the number of workers."""
    threads: ThreadsBounds | None = None
    """Bounds of the threads of a gthread worker."""
    worker_connections: WorkerConnectionsBounds | None = None
    """Bounds of the connections of a gevent or asgi worker."""
    worker_classes: list[Literal["sync", "gthread", "gevent", "asgi"]] | None = Field(
        default=None, min_length=1, max_length=4
    )
    """The worker classes that the tuner may choose; all four if absent."""
    changes_per_hour: int | None = Field(default=None, ge=CHANGES_PER_HOUR.lowest, le=CHANGES_PER_HOUR.highest)
    """How many changes may begin within any hour; 20 if absent."""
    freeze: bool | None = None
    """Whether the tuner begins no changes for now."""
    windows: Windows | None = None
    """How long the tuner observes before it acts."""

    def to_policy(self) -> Policy:
        """Return the tuner's policy.

        Raises:
            InvalidPolicy: when the policy contradicts itself.
        """
        return Policy.from_mapping(self.to_json())
