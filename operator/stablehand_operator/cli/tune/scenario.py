"""The file of `stablehand tune simulate`: an app, its pods, the load and the policy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import Field, ValidationError, model_validator

from stablehand_operator.kubernetes_types import Model
from stablehand_operator.resource import DEFAULT_SETTINGS, SettingsSpec
from stablehand_operator.tuning_spec import TuningSpec
from stablehand_simulator import App, Balancer, Kind, Machine
from stablehand_simulator.workload import LoadPhase, Workload
from stablehand_tuner.contracts.settings import InvalidSettings, WorkerClass
from stablehand_tuner.policy import InvalidPolicy

if TYPE_CHECKING:
    from pathlib import Path

_MEBIBYTE = 2.0**20
_MILLISECOND = 0.001
_MOST_SECONDS = 7 * 86400
_MOST_PODS = 100


class InvalidScenario(ValueError):  # noqa: N818 (a reader meets it in a sentence: "invalid scenario: ...")
    """A file that cannot be simulated; the message names each field at fault."""


class KindOfRequest(Model):
    """A kind of request beside the app's usual one."""

    share: float = Field(gt=0, lt=1)
    """Its share of all requests, 0 to 1."""
    compute_milliseconds: float = Field(gt=0)
    """Computing with the interpreter's lock."""
    wait_milliseconds: float = Field(default=0, ge=0)
    """Waiting for something else."""


class AppSpec(Model):
    """What a request of the app does."""

    compute_milliseconds: float = Field(gt=0)
    """Computing with the interpreter's lock."""
    compute_unlocked_milliseconds: float = Field(default=0, ge=0)
    """Computing in a C extension that releases the lock."""
    wait_milliseconds: float = Field(default=0, ge=0)
    """Waiting for something else: a database, another service."""
    jitter: float = Field(default=0.2, ge=0, le=2)
    """The relative standard deviation of these times."""
    kinds: list[KindOfRequest] = Field(default_factory=list)
    """Further kinds of requests."""
    thread_overhead_milliseconds: float = Field(default=0, ge=0)
    """CPU that each other computing thread of the process, of at most three, costs a request."""
    blocks_event_loop: bool = False
    """Whether the wait is inside a C call, so that it blocks an event loop."""
    process_connections: int | None = Field(default=None, ge=1)
    """How many requests of one process can wait at once, while the others queue: a pool, or with 1 a lock."""
    pod_connections: int | None = Field(default=None, ge=1)
    """How many requests of a pod can wait at once, while the others fail."""
    refused_milliseconds: float = Field(default=0, ge=0)
    """After how long they fail."""
    error_share: dict[WorkerClass, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """The share of the requests that fails, by worker class, 0 to 1."""
    process_mebibytes: float = Field(default=50, ge=0)
    """The memory of a worker."""
    request_mebibytes: float = Field(default=0, ge=0)
    """The memory of a request while it is in a worker."""

    @model_validator(mode="after")
    def _leave_a_share_for_the_usual_request(self) -> AppSpec:
        if sum(kind.share for kind in self.kinds) >= 1:
            raise ValueError("the shares of kinds add up to 1 or more: nothing is left for the usual request")
        return self

    @model_validator(mode="after")
    def _limit_one_of_process_and_pod(self) -> AppSpec:
        if self.process_connections is not None and self.pod_connections is not None:
            raise ValueError("either processConnections or podConnections can be limited, not both")
        return self

    def to_app(self) -> App:
        """Return the simulator's app."""
        return App(
            compute=self.compute_milliseconds * _MILLISECOND,
            wait=self.wait_milliseconds * _MILLISECOND,
            jitter=self.jitter,
            thread_overhead=self.thread_overhead_milliseconds * _MILLISECOND,
            blocks_event_loop=self.blocks_event_loop,
            error_share=self.error_share,
            process_connections=math.inf if self.process_connections is None else self.process_connections,
            pod_connections=math.inf if self.pod_connections is None else self.pod_connections,
            refused_seconds=self.refused_milliseconds * _MILLISECOND,
            process_bytes=self.process_mebibytes * _MEBIBYTE,
            request_bytes=self.request_mebibytes * _MEBIBYTE,
            compute_unlocked=self.compute_unlocked_milliseconds * _MILLISECOND,
            kinds=tuple(
                Kind(kind.share, kind.compute_milliseconds * _MILLISECOND, kind.wait_milliseconds * _MILLISECOND)
                for kind in self.kinds
            ),
        )


class PodsSpec(Model):
    """The pods that run the app."""

    count: int = Field(default=1, ge=1, le=_MOST_PODS)
    """How many."""
    cores: float = Field(default=2, gt=0, le=1024)
    """The CPU limit of each; without one, the cores of its node."""
    node_cores: int | None = Field(default=None, ge=1, le=1024)
    """The cores of the node, if the limit is lower: then the kernel throttles the pod."""
    memory_mebibytes: float | None = Field(default=None, gt=0)
    """The memory limit of each; none if absent."""
    boot_seconds: float = Field(default=1, ge=0, le=3600)
    """How long a worker takes to boot."""
    blocking_modules: list[str] = Field(default_factory=list)
    """Loaded modules that gevent cannot make cooperative."""
    settings: SettingsSpec | None = None
    """What the pods start with; what a WSGIApp starts with if absent."""

    @model_validator(mode="after")
    def _have_the_cores_of_the_limit(self) -> PodsSpec:
        if self.node_cores is not None and self.node_cores < self.cores:
            raise ValueError(f"nodeCores is {self.node_cores}, but cores is {self.cores:g}: a limit grants no more")
        return self

    def to_machine(self) -> Machine:
        """Return the simulator's machine."""
        return Machine(
            cores=self.cores,
            node_cores=self.node_cores,
            memory_limit=None if self.memory_mebibytes is None else self.memory_mebibytes * _MEBIBYTE,
            boot_seconds=self.boot_seconds,
            blocking_modules=frozenset(self.blocking_modules),
        )


class LoadSpec(Model):
    """The load of all pods together: either clients or requests per second."""

    clients: int | None = Field(default=None, ge=0, le=100_000)
    """Clients that each send the next request when the last is answered."""
    requests_per_second: float | None = Field(default=None, ge=0, le=1_000_000)
    """Requests at random moments, whether others were answered or not."""

    @model_validator(mode="after")
    def _be_of_one_kind(self) -> LoadSpec:
        if (self.clients is None) == (self.requests_per_second is None):
            raise ValueError("either clients or requestsPerSecond is needed, and not both")
        return self


class BackendSpec(Model):
    """What requests wait for."""

    connections: int = Field(ge=1)
    """How many requests of all pods it serves at once; the others queue."""


class PhaseSpec(Model):
    """What changes at a moment; absent fields stay as they were."""

    at_seconds: float = Field(gt=0)
    """Seconds since the start."""
    app: AppSpec | None = None
    """What requests do from then on."""
    load: LoadSpec | None = None
    """The load from then on."""


class Scenario(Model):
    """A whole scenario."""

    app: AppSpec
    """What a request does."""
    load: LoadSpec
    """The load of the app."""
    pods: PodsSpec = PodsSpec()
    """What it runs on."""
    backend: BackendSpec | None = None
    """What requests wait for, if its connections are limited."""
    balancer: Balancer = Balancer.RANDOM
    """How requests are distributed to pods."""
    tuning: TuningSpec = TuningSpec()
    """The policy, as in a WSGIApp's `spec.tuning`."""
    phases: list[PhaseSpec] = Field(default_factory=list)
    """What changes over time."""
    seconds: float = Field(default=300, gt=0, le=_MOST_SECONDS)
    """How long to simulate."""
    interval_seconds: float = Field(default=5, gt=0, le=600)
    """Seconds between two scrapes."""
    seed: int = Field(default=1, ge=0)
    """The random seed: the same seed gives the same run."""

    @classmethod
    def read(cls, path: Path) -> Scenario:
        """Read a file, YAML or JSON.

        Raises:
            InvalidScenario: naming each field at fault.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidScenario(f"{path} cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise InvalidScenario(f"{path} is neither YAML nor JSON: {error}") from error
        if not isinstance(content, dict):
            raise InvalidScenario(f"{path} must be an object with at least app and load")
        try:
            scenario = cls.model_validate(content)
            scenario.to_workload()
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
            raise InvalidScenario(f"{path}: " + "; ".join(faults)) from error
        except InvalidPolicy as error:
            raise InvalidScenario(f"{path}: tuning: {error}") from error
        except InvalidSettings as error:
            raise InvalidScenario(f"{path}: pods.settings: {error}") from error
        return scenario

    def to_workload(self) -> Workload:
        """Return what the simulator runs.

        Raises:
            InvalidPolicy: when `tuning` contradicts itself.
            InvalidSettings: when `pods.settings` is impossible.
        """
        return Workload(
            app=self.app.to_app(),
            start=DEFAULT_SETTINGS if self.pods.settings is None else self.pods.settings.to_settings(),
            machine=self.pods.to_machine(),
            pods=self.pods.count,
            clients=self.load.clients or 0,
            rate=self.load.requests_per_second or 0.0,
            backend_connections=math.inf if self.backend is None else self.backend.connections,
            balancer=self.balancer,
            policy=self.tuning.to_policy(),
            phases=tuple(
                LoadPhase(
                    at=phase.at_seconds,
                    app=None if phase.app is None else phase.app.to_app(),
                    clients=None if phase.load is None else phase.load.clients or 0,
                    rate=None if phase.load is None else phase.load.requests_per_second or 0.0,
                )
                for phase in self.phases
            ),
            seed=self.seed,
        )
