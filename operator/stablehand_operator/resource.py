"""The typed WSGIApp: what the user asks for. The CustomResourceDefinition is generated from these models.

A rule that a type cannot express is a CEL rule (`x-kubernetes-validations`) beside the field: the API server checks it,
so that a contradiction is refused with a sentence when it is applied, and never reaches the operator.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kubernetes.utils.quantity import parse_quantity
from pydantic import ConfigDict, Field, JsonValue

from stablehand_operator.kubernetes_types import (
    EnvironmentVariable,
    Model,
    NamedReference,
    PassedOn,
    ResourceRequirements,
    Volume,
    VolumeMount,
)
from stablehand_operator.names import FREEZE_ANNOTATION, GROUP, METRICS_PORT
from stablehand_operator.tuning_spec import TuningSpec
from stablehand_tuner.contracts.settings import THREADS, WORKER_CONNECTIONS, WORKERS, Settings, WorkerClass

if TYPE_CHECKING:
    from stablehand_tuner.policy import Policy

DEFAULT_SETTINGS = Settings(worker_class=WorkerClass.GTHREAD, workers=1, threads=4)
"""The initial settings of an app without `spec.settings`: one process, because its memory is not known yet, and a few
threads, because most web apps wait."""


def rule(expression: str, message: str) -> dict[str, JsonValue]:
    """Return a CEL rule that the API server checks, with the message for the user when it does not hold."""
    return {"rule": expression, "message": message}


class SettingsSpec(Model):
    """The settings that the app starts with. Afterwards the tuner changes them, unless `tuning.mode` is Off."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.workerClass != 'sync' || self.threads == 1",
                    "a sync worker serves one request at a time: set threads to 1, or workerClass to gthread",
                )
            ]
        }
    )

    worker_class: WorkerClass
    """gunicorn's worker class."""

    workers: int = Field(ge=WORKERS.lowest, le=WORKERS.highest)
    """The number of worker processes."""

    threads: int = Field(default=1, ge=THREADS.lowest, le=THREADS.highest)
    """Threads of each worker; only gthread uses more than one."""

    worker_connections: int = Field(default=1000, ge=WORKER_CONNECTIONS.lowest, le=WORKER_CONNECTIONS.highest)
    """Connections that a gevent or asgi worker serves at once."""

    def to_settings(self) -> Settings:
        """Return the contract's value.

        Raises:
            InvalidSettings: when the combination is impossible.
        """
        return Settings.from_mapping(self.to_json())


_TUNED_FLAGS = r"^(-[wkb].*|--(workers|worker-class|threads|worker-connections|bind|settings-file|metrics-bind)(=.*)?)$"
_TUNED_FLAGS_SENTENCE = (
    "args must not set what Stablehand sets: the workers, their class, threads and connections belong under settings "
    "and tuning, and bind, settings-file and metrics-bind are the operator's"
)


def _own_volumes(field: str) -> dict[str, JsonValue]:
    return rule(
        f"!has(self.{field}) || self.{field}.all(each, !(each.name in ['settings', 'tmp']))",
        f"{field} must not use the names settings and tmp: the operator's own volumes use them",
    )


def _within_bounds(setting: str, bounds: str, condition: str = "true") -> dict[str, JsonValue]:
    """Return the rule that the initial settings are within the user's bounds, which do not apply in mode Off."""
    bound = f"self.tuning.{bounds}"
    return rule(
        f"!has(self.settings) || !has(self.tuning) || !has({bound}) || !({condition}) || "
        "(has(self.tuning.mode) && self.tuning.mode == 'Off') || "
        f"((!has({bound}.min) || self.settings.{setting} >= {bound}.min) && "
        f"(!has({bound}.max) || self.settings.{setting} <= {bound}.max))",
        f"settings.{setting} is outside of the bounds tuning.{bounds}",
    )


class WSGIAppSpec(Model):
    """What should run: an image, the app in it, and how far the tuner may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!has(self.args) || !self.args.exists(each, each.matches('{_TUNED_FLAGS}'))",
                    _TUNED_FLAGS_SENTENCE,
                ),
                rule(f"self.port != {METRICS_PORT}", f"port {METRICS_PORT} is taken: metrics are served there"),
                rule(
                    "self.app.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*(:[^ ]+)?$')",
                    "app must name a module and a callable in it, for example shop.wsgi:application",
                ),
                rule(
                    f"!has(self.podAnnotations) || !self.podAnnotations.exists(key, key.startsWith('{GROUP}/'))",
                    f"podAnnotations must not start with {GROUP}/: these are the operator's own",
                ),
                _own_volumes("volumes"),
                _within_bounds("workers", "workers"),
                _within_bounds("threads", "threads", "self.settings.workerClass == 'gthread'"),
                _within_bounds(
                    "workerConnections", "workerConnections", "self.settings.workerClass in ['gevent', 'asgi']"
                ),
                rule(
                    "!has(self.settings) || !has(self.tuning) || !has(self.tuning.workerClasses) || "
                    "(has(self.tuning.mode) && self.tuning.mode == 'Off') || "
                    "self.settings.workerClass in self.tuning.workerClasses",
                    "settings.workerClass is not one of tuning.workerClasses",
                ),
            ]
        }
    )

    image: str = Field(min_length=1, max_length=1024)
    """The container image: the app and its dependencies on top of an image that has `stablehand-server`."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled; Kubernetes' own default if absent."""

    image_pull_secrets: list[NamedReference] | None = Field(default=None, max_length=16)
    """Secrets with the credentials for the image's registry."""

    app: str = Field(min_length=1, max_length=512)
    """The app, as gunicorn names it: `module:callable`. An ASGI app also needs `settings.workerClass: asgi`."""

    args: list[Annotated[str, Field(max_length=1024)]] | None = Field(default=None, max_length=64)
    """Further flags of gunicorn, for example `--max-requests=10000`."""

    replicas: int = Field(default=1, ge=0, le=10_000)
    """Pods. Leave it out where a HorizontalPodAutoscaler targets this WSGIApp: it writes the number here."""

    port: int = Field(default=8000, ge=1, le=65535)
    """Where the app listens, in the pod and in its Service."""

    resources: ResourceRequirements | None = None
    """CPU and memory of the app's container."""

    env: list[EnvironmentVariable] | None = Field(default=None, max_length=512)
    """Environment variables."""

    env_from: list[PassedOn] | None = Field(default=None, max_length=64)
    """ConfigMaps and Secrets whose entries become environment variables."""

    volumes: list[Volume] | None = Field(default=None, max_length=64)
    """Further volumes of the pod. The root file system is read-only; `/tmp` is writable."""

    volume_mounts: list[VolumeMount] | None = Field(default=None, max_length=64)
    """Where these volumes appear in the app's container."""

    node_selector: dict[str, str] | None = None
    """Labels of the nodes that may run the pods."""

    tolerations: list[PassedOn] | None = Field(default=None, max_length=64)
    """Taints of nodes that the pods tolerate."""

    affinity: PassedOn | None = None
    """Which nodes, and which pods as neighbours, are preferred or avoided."""

    security_context: PassedOn | None = None
    """Overrides, field by field, of the container's security context."""

    pod_security_context: PassedOn | None = None
    """Overrides, field by field, of the pod's security context."""

    service_account_name: str | None = Field(default=None, min_length=1, max_length=253)
    """A ServiceAccount of your own; without it the operator creates one without permissions and without a token."""

    termination_grace_period_seconds: int = Field(default=30, ge=1, le=3600)
    """Seconds that a pod may take to finish its requests when it is stopped."""

    pod_labels: dict[str, str] | None = None
    """Further labels of the pods."""

    pod_annotations: dict[str, str] | None = Field(default=None, max_length=64)
    """Further annotations of the pods."""

    settings: SettingsSpec | None = None
    """The settings to start with; `gthread 1 × 4` if absent."""

    tuning: TuningSpec = Field(default_factory=TuningSpec)
    """How far the tuner may go."""

    def initial_settings(self) -> Settings:
        """Return the settings that the app starts with."""
        return DEFAULT_SETTINGS if self.settings is None else self.settings.to_settings()


class WSGIApp(Model):
    """One app as the operator handles it: its identity and its spec.

    The status is not part of it: the operator writes it, see `resource_status`.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    frozen: bool = False
    spec: WSGIAppSpec

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> WSGIApp:
        """Read a WSGIApp as the API server returns it.

        Raises:
            pydantic.ValidationError: when the spec does not match the current schema, as may happen with objects that
                were stored under an older one.
        """
        metadata = body["metadata"]
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 1),
            frozen=(metadata.get("annotations") or {}).get(FREEZE_ANNOTATION, "false") != "false",
            spec=WSGIAppSpec.model_validate(body.get("spec") or {}),
        )

    @property
    def identity(self) -> str:
        """What the tuner's knowledge is of: another image, or another app in it, may be quite different."""
        return f"{self.spec.image} {self.spec.app}"

    def requested_cores(self) -> float | None:
        """Return the CPU request of each pod, in cores; None without one."""
        resources = self.spec.resources
        cpu = ((resources.requests if resources else None) or {}).get("cpu")
        return None if cpu is None else float(parse_quantity(cpu))  # type: ignore[no-untyped-call] # of a library without types

    def tuning_policy(self) -> Policy:
        """Return the tuner's policy, frozen if the annotation says so.

        Raises:
            InvalidPolicy: when the policy contradicts itself.
        """
        policy = self.spec.tuning.to_policy()
        return dataclasses.replace(policy, frozen=policy.frozen or self.frozen)
