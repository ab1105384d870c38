"""What kopf calls when something changes. Each handler records the object and queues its app: nothing else.

The handlers are of kopf's `on.event` kind. They need no finalizers and no annotations, and kopf calls them for every
object at the start, for every change, and for every deletion: create, update, resume and delete are one path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from stablehand_operator.inventory import app_key, child_key, owner_of
from stablehand_operator.names import GROUP, KIND, MANAGED_BY, MANAGED_BY_LABEL, PLURAL, VERSION
from stablehand_operator.pods import version_of

if TYPE_CHECKING:
    from stablehand_operator.health import Health
    from stablehand_operator.inventory import AppKey, Inventory
    from stablehand_operator.workqueue import WorkQueue

_CHILDREN = (
    ("Deployment", "apps", "v1", "deployments"),
    ("Service", "", "v1", "services"),
    ("ConfigMap", "", "v1", "configmaps"),
    ("ServiceAccount", "", "v1", "serviceaccounts"),
)
_PODS = ("", "v1", "pods")

CHILD_RESOURCES = (*((group, version, plural) for _, group, version, plural in _CHILDREN), _PODS)
"""Group, version and plural of everything that is watched besides the apps themselves."""


def register(registry: kopf.OperatorRegistry, inventory: Inventory, queue: WorkQueue[AppKey], health: Health) -> None:
    """Register a handler for apps, one for each kind of child, and one for pods."""
    _register_apps(registry, inventory, queue, health)
    for kind, group, version, plural in _CHILDREN:
        _register_child(registry, inventory, queue, kind, (group, version, plural))
    _register_pods(registry, inventory, queue)


def _register_apps(
    registry: kopf.OperatorRegistry, inventory: Inventory, queue: WorkQueue[AppKey], health: Health
) -> None:
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def app_seen(event: kopf.RawEvent, **_: Any) -> None:
        body = _plain(event, KIND)
        key = app_key(body)
        health.watched(key, version_of(body))
        if event["type"] == "DELETED" or "deletionTimestamp" in body["metadata"]:
            inventory.drop_app(key)
            queue.forget(key)
            return
        before = inventory.apps.get(key)
        generation = before.body["metadata"].get("generation") if before is not None else None
        record = inventory.take_app(body)
        if before is not record or body["metadata"].get("generation") != generation:
            queue.add(key)


def _register_child(
    registry: kopf.OperatorRegistry,
    inventory: Inventory,
    queue: WorkQueue[AppKey],
    kind: str,
    resource: tuple[str, str, str],
) -> None:
    @kopf.on.event(*resource, registry=registry, id=f"{kind}_seen", labels={MANAGED_BY_LABEL: MANAGED_BY})
    async def child_seen(event: kopf.RawEvent, **_: Any) -> None:
        body = _plain(event, kind)
        if event["type"] == "DELETED":
            inventory.drop_child(child_key(body))
        else:
            inventory.take_child(body)
        queue.add(owner_of(body))


def _register_pods(registry: kopf.OperatorRegistry, inventory: Inventory, queue: WorkQueue[AppKey]) -> None:
    @kopf.on.event(*_PODS, registry=registry, labels={MANAGED_BY_LABEL: MANAGED_BY})
    async def pod_seen(event: kopf.RawEvent, **_: Any) -> None:
        body = _plain(event, "Pod")
        if event["type"] == "DELETED":
            inventory.drop_pod(body)
        else:
            inventory.take_pod(body)
        queue.add(owner_of(body))


def _plain(event: kopf.RawEvent, kind: str) -> dict[str, Any]:
    """Return the event's object as plain JSON, with its kind, which objects of a listing lack."""
    return {**event["object"], "kind": kind}
