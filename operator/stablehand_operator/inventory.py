"""What the operator knows of the cluster: apps, their children and pods, as last seen.

Watches update it at once; each periodic listing replaces it, so that a missed event does no lasting harm. Nothing is
lost with the operator: all of it can be read again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_operator.desired import stored_state
from stablehand_operator.names import INSTANCE_LABEL
from stablehand_operator.pods import Pod, version_of
from stablehand_operator.resource_status import WSGIAppStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_operator.builders import Manifest
    from stablehand_operator.pods import Failure
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.settings_file import SettingsFile
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.lifecycle.state import TunerState
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.snapshot import Snapshot
    from stablehand_tuner.observe.trial_seen import TrialSeen

CHILD_KINDS = ("Deployment", "Service", "ConfigMap", "ServiceAccount")


class AppKey(NamedTuple):
    """Names one WSGIApp."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the name as Kubernetes' tools write it."""
        return f"{self.namespace}/{self.name}"


class ChildKey(NamedTuple):
    """Names one child."""

    kind: str
    namespace: str
    name: str


class Applied(NamedTuple):
    """A child as it was right after the operator applied it: digests of what was sent and of what came back."""

    sent: str
    live: str


@dataclasses.dataclass
class AppRecord:
    """One app: the resource as last seen, and what the operator remembers of it.

    `lock` is held while something is decided or done about the app, so that a reconciliation and a decision of the
    tuner never overlap.
    """

    key: AppKey
    body: Manifest
    status: WSGIAppStatus
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    applied: dict[ChildKey, Applied] = dataclasses.field(default_factory=dict)
    snapshots: dict[str, Snapshot] = dataclasses.field(default_factory=dict)
    observations: dict[str, Observation | None] = dataclasses.field(default_factory=dict)
    trials: dict[str, TrialSeen] = dataclasses.field(default_factory=dict)
    problem: Failure | None = None  # of the last reconciliation, for somebody to solve
    refusing: frozenset[str] = frozenset()  # the pods that report that they refuse their newest settings
    tuner_state: TunerState | None = None
    decision: Decision | None = None
    unannounced: list[Decision] = dataclasses.field(default_factory=list)  # carried out, but without an Event so far
    file: SettingsFile | None = None  # that the pods were given last, by this operator
    nudged_at: dict[str, float] = dataclasses.field(default_factory=dict)
    ran: dict[str, Settings] = dataclasses.field(default_factory=dict)  # by a pod's UID: what it last reported to run
    memory_kills: dict[str, str] = dataclasses.field(default_factory=dict)  # by a pod's UID: the last one that is known
    status_written_at: float = float("-inf")
    tuning: asyncio.Task[None] | None = None

    @property
    def state(self) -> TunerState:
        """The tuner's state: what its last step returned, or, before the first, what the status has of it."""
        return self.tuner_state or stored_state(self.status)

    @property
    def resource_version(self) -> str:
        """The version of the resource that the operator's next write replaces."""
        return str(self.body["metadata"]["resourceVersion"])

    def take(self, body: Manifest) -> bool:
        """Take over the resource if it is newer; tell whether it was."""
        if version_of(body) < version_of(self.body):
            return False
        self.body = body
        self.status = WSGIAppStatus.model_validate(body.get("status") or {})
        return True


class Inventory:
    """The last known state of everything."""

    def __init__(self) -> None:
        self.apps: dict[AppKey, AppRecord] = {}
        self.children: dict[ChildKey, Manifest] = {}
        self._pods: dict[AppKey, dict[str, Pod]] = {}

    def take_app(self, body: Manifest) -> AppRecord:
        """Take over a WSGIApp; if it was deleted and created again, with a new record."""
        key = app_key(body)
        record = self.apps.get(key)
        if record is None or record.body["metadata"]["uid"] != body["metadata"]["uid"]:
            record = AppRecord(key, body, WSGIAppStatus.model_validate(body.get("status") or {}))
            self.apps[key] = record
        else:
            record.take(body)
        return record

    def drop_app(self, key: AppKey) -> None:
        """Forget a WSGIApp that was deleted."""
        record = self.apps.pop(key, None)
        if record is not None and record.tuning is not None:
            record.tuning.cancel()

    def take_child(self, body: Manifest) -> None:
        """Take over a child."""
        self.children[child_key(body)] = body

    def drop_child(self, key: ChildKey) -> None:
        """Forget a child that was deleted."""
        self.children.pop(key, None)

    def take_pod(self, body: Manifest) -> Pod:
        """Take over a pod."""
        pod = Pod.from_object(body)
        self._pods.setdefault(AppKey(pod.namespace, pod.app_name), {})[pod.name] = pod
        return pod

    def drop_pod(self, body: Manifest) -> None:
        """Forget a pod that was deleted."""
        pod = Pod.from_object(body)
        self._pods.get(AppKey(pod.namespace, pod.app_name), {}).pop(pod.name, None)

    def pods(self, key: AppKey) -> list[Pod]:
        """Return an app's pods, the newest first."""
        return sorted(self._pods.get(key, {}).values(), key=lambda pod: (pod.created, pod.name), reverse=True)

    def running_pods(self, key: AppKey) -> int:
        """Return how many of an app's pods run: those that boot or end among them."""
        return sum(not pod.ended for pod in self.pods(key))

    def replace(self, children: Iterable[Manifest], pods: Iterable[Manifest]) -> None:
        """Replace all children and pods by those of a listing, except where a watch has delivered a newer version."""
        known_children, known_pods = self.children, self._pods
        self.children, self._pods = {}, {}
        for each in children:
            self.take_child(_newer(known_children.get(child_key(each)), each))
        for each in pods:
            pod = Pod.from_object(each)
            known = known_pods.get(owner_of(each), {}).get(pod.name)
            newer = known is not None and known.uid == pod.uid and known.version > pod.version
            self._pods.setdefault(owner_of(each), {})[pod.name] = known if known is not None and newer else pod


def app_key(body: Manifest) -> AppKey:
    """Return the key of a WSGIApp."""
    return AppKey(body["metadata"]["namespace"], body["metadata"]["name"])


def child_key(body: Manifest) -> ChildKey:
    """Return the key of a child."""
    return ChildKey(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def owner_of(body: Manifest) -> AppKey:
    """Return the app that a child or a pod belongs to, by its labels."""
    metadata = body["metadata"]
    return AppKey(metadata["namespace"], (metadata.get("labels") or {}).get(INSTANCE_LABEL, ""))


def digest(value: Any) -> str:
    """Return a short digest of plain JSON, the same for the same content."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def live_digest(body: Manifest) -> str:
    """Return a digest of what users and controllers may change in an object, without what always changes."""
    metadata = body["metadata"]
    # The Deployment's controller writes its revision there.
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if name != "deployment.kubernetes.io/revision"
    }
    kept = {
        key: value for key, value in body.items() if key not in {"metadata", "status", "kind", "apiVersion", "secrets"}
    }
    return digest(
        [kept, metadata.get("uid"), metadata.get("labels"), annotations, metadata.get("ownerReferences")],
    )


def _newer(known: Manifest | None, listed: Manifest) -> Manifest:
    return known if known is not None and version_of(known) > version_of(listed) else listed
