"""The typed status of a WSGIApp: what the operator writes, and what people, `kubectl` and scripts read.

The status is also the operator's only persistent memory: the settings that every pod should run (`settings.desired`)
and the tuner's state are in it, written before they are acted on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stablehand_operator.kubernetes_types import Model

HISTORY_LENGTH = 10
"""The number of decisions in the history."""


class SettingsStatus(Model):
    """The four settings, as the contract writes them."""

    worker_class: str
    """gunicorn's worker class."""
    workers: int
    """Worker processes."""
    threads: int
    """Threads of each worker."""
    worker_connections: int
    """Connections that a gevent or asgi worker serves at once."""


class SettingsByRole(Model):
    """The settings in each of their roles."""

    active: SettingsStatus | None = None
    """What all pods run now; absent while they differ or cannot be scraped."""
    desired: SettingsStatus | None = None
    """What every pod should run."""
    recommended: SettingsStatus | None = None
    """What the tuner would run."""
    initial: SettingsStatus | None = None
    """The spec's settings when `desired` was last taken from them."""


class CanaryStatus(Model):
    """The one pod that tries settings before the others."""

    pod: str
    """Its name."""
    settings: SettingsStatus
    """What it should run, or one worker of it."""
    one_worker: bool = False
    """Whether one worker of it alone tries them, while its others run what all pods run."""


class Summary(Model):
    """Texts for the columns of `kubectl get`."""

    worker_class: str = ""
    """The worker class that runs, or `sync→gthread` while it changes; the initial one until a pod was scraped."""
    workers: str = ""
    """Worker processes of each pod."""
    threads: str = ""
    """Threads of each worker."""
    ready: str = ""
    """Pods ready of those wanted."""
    active: str = ""
    """The settings that run, in short: `gthread 2 × 8`."""
    desired: str = ""
    """The settings that should run, in short."""
    recommended: str = ""
    """The settings that the tuner would run, in short."""


class Observed(Model):
    """The last scrapes of all pods, summed up."""

    pods: int = 0
    """Pods that could be measured."""
    requests_per_second: float | None = None
    """Requests finished per second, all pods."""
    errors_per_second: float | None = None
    """Requests finished with a 5xx or an error per second, all pods."""
    mean_seconds: float | None = None
    """Mean wall seconds of a request inside the app."""
    p50_seconds: float | None = None
    """Median seconds of a request inside the app."""
    p99_seconds: float | None = None
    """99th percentile of a request's seconds inside the app."""
    cpu_share: float | None = None
    """The part of a request's time that is computing, 0 to 1."""
    busy_slots: float | None = None
    """Requests inside the app, all pods."""
    slots: int | None = None
    """Requests that all pods can serve at once."""
    backlog: float | None = None
    """Connections waiting in the kernel, all pods."""
    cores_used: float | None = None
    """Cores that the workers use, all pods."""
    cores: float | None = None
    """Cores that the workers may use, all pods."""
    memory_bytes: float | None = None
    """Proportional memory of the largest worker."""


class Condition(Model):
    """One condition, as Kubernetes' own resources have them."""

    type: str
    """`Ready`, `SettingsAccepted` or `Tuning`."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    observed_generation: int | None = None
    """The generation of the spec that this is about."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When the status last changed."""
    reason: str
    """One word for programs."""
    message: str = ""
    """One sentence for people."""


class HistoryEntry(Model):
    """One decision that was carried out or recommended."""

    time: str = Field(json_schema_extra={"format": "date-time"})
    """When it was made."""
    action: str
    """`try`, `canary`, `promote`, `apply`, `keep`, `roll_back` or `recommend`."""
    reason: str
    """The stable code."""
    message: str
    """The sentence, with its numbers."""
    from_settings: str = Field(default="", alias="from")
    """The settings before."""
    to_settings: str = Field(default="", alias="to")
    """The settings after."""


_ConditionList = Annotated[
    list[Condition],
    Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class WSGIAppStatus(Model):
    """The observed state of the app. Written only by the operator."""

    model_config = ConfigDict(extra="ignore")

    observed_generation: int | None = None
    """The generation of the spec that was last carried out."""
    reason: str = ""
    """Why the settings are as they are, or why the app is not ready: one word."""
    message: str = ""
    """The same in one sentence, with its numbers."""
    conditions: _ConditionList = Field(default_factory=list)
    """Ready: pods serve. SettingsAccepted: the servers run what they should. Tuning: the tuner is working."""
    replicas: int | None = None
    """Pods that exist."""
    ready_replicas: int | None = None
    """Pods that are ready."""
    selector: str = ""
    """The pods' label selector, for the scale subresource."""
    settings: SettingsByRole = Field(default_factory=SettingsByRole)
    """The settings in each of their roles."""
    canary: CanaryStatus | None = None
    """The pod that tries other settings than the rest, and those settings; absent while there is none."""
    summary: Summary = Field(default_factory=Summary)
    """Texts for the columns of `kubectl get`."""
    observed: Observed | None = None
    """The last scrapes of all pods, summed up."""
    history: list[HistoryEntry] = Field(default_factory=list, max_length=HISTORY_LENGTH)
    """The last decisions, the newest first."""
    tuner: str | None = None
    """The tuner's state as JSON, kept here so that it survives a restart of the operator. Its content is internal. It
    is a string because `kubectl describe` would show an object over more lines than everything else."""
