"""What a cluster has of Stablehand, and whose it is: tests run only where nothing is, and remove only what they made.

Deleting the definition of WSGIApp deletes every WSGIApp with it, and so every app of that cluster.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_dev.cluster.model import Cluster

DEFINITION = "wsgiapps.stablehand.dev"
_CHART = "stablehand"
_OPERATORS = "app.kubernetes.io/name=stablehand,app.kubernetes.io/component=operator"
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Release:
    """A release of the chart, as Helm names it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True)
class Belongings:
    """What a cluster has of Stablehand.

    Attributes:
        definition: whether it has the CustomResourceDefinition of WSGIApp.
        owner: the release that the definition belongs to by Helm's annotations; None where there is no definition, or
            it has no owner.
        releases: the chart's releases, of every state.
        operators: the operators' Deployments, as namespace/name: they may stand there without Helm.
        apps: the WSGIApps, as namespace/name.
    """

    definition: bool = False
    owner: Release | None = None
    releases: tuple[Release, ...] = ()
    operators: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()


def look(cluster: Cluster) -> Belongings:
    """Return what the cluster has of Stablehand; changes nothing.

    Raises:
        CommandFailedError: the cluster does not answer, or does not let us look.
    """
    definition = _definition(cluster)
    listed = json.loads(cluster.helm("list", "--all", "--all-namespaces", "--output", "json", timeout=60))
    releases = [Release(each["namespace"], each["name"]) for each in listed if _is_of_chart(each["chart"])]
    return Belongings(
        definition=definition is not None,
        owner=None if definition is None else owner_of(definition),
        releases=tuple(releases),
        operators=_names(cluster, "deployments", f"--selector={_OPERATORS}"),
        apps=() if definition is None else _names(cluster, DEFINITION),
    )


def refusal(found: Belongings) -> str | None:
    """Return why tests must not run on a cluster, in a sentence; None where it has nothing of Stablehand."""
    reasons = []
    if found.definition:
        whose = f", of the release {found.owner}" if found.owner else ""
        reasons.append(f"the CustomResourceDefinition {DEFINITION}{whose}")
    for what, names in (
        ("Helm releases of the chart", [str(each) for each in found.releases]),
        ("operators", found.operators),
        ("WSGIApps", found.apps),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            reasons.append(f"{what} ({', '.join(names[:_SHOWN])}{more})")
    if not reasons:
        return None
    return (
        f"The tests refuse this cluster, because it has something of Stablehand that they did not make: "
        f"{'; '.join(reasons)}. They would have to change it, and nothing was changed. Name a cluster without any of "
        "it, or name none: then the tests start one of their own, where kind or a one-node cluster is possible."
    )


def is_used_by_others(found: Belongings, release: Release, namespaces: Collection[str]) -> bool:
    """Return whether anybody but a release relies on the definition.

    Args:
        found: what the cluster has now.
        release: the one that asks.
        namespaces: those that are its own: WSGIApps and operators in there are no others.
    """
    foreign = [each for each in (*found.operators, *found.apps) if each.partition("/")[0] not in namespaces]
    return bool(foreign) or any(each != release for each in found.releases)


def may_remove_definition(found: Belongings, release: Release, namespaces: Collection[str]) -> bool:
    """Return whether the definition may be removed with a release: it created it, and nothing else relies on it."""
    return found.definition and found.owner == release and not is_used_by_others(found, release, namespaces)


def remove(cluster: Cluster, release: Release, namespaces: Collection[str]) -> bool:
    """Remove a run's own release, and the definition if the run created it and nothing else has started to use it.

    Args:
        cluster: where.
        release: the run's own.
        namespaces: those that the run made; its WSGIApps are in there.

    Returns:
        Whether the definition is gone.
    """
    cluster.helm("uninstall", release.name, "--namespace", release.namespace, "--wait", "--ignore-not-found")
    found = look(cluster)
    if not may_remove_definition(found, release, namespaces):
        return not found.definition
    cluster.kubectl("delete", "crd", DEFINITION, "--ignore-not-found", "--timeout=60s")
    return True


def owner_of(definition: dict[str, Any]) -> Release | None:
    """Return the release that an object belongs to, as Helm's annotations on it say."""
    annotations = definition["metadata"].get("annotations") or {}
    name, namespace = (annotations.get(f"meta.helm.sh/release-{part}") for part in ("name", "namespace"))
    return Release(namespace, name) if name and namespace else None


def _definition(cluster: Cluster) -> dict[str, Any] | None:
    text = cluster.kubectl("get", "crd", DEFINITION, "--ignore-not-found", "-o", "json")
    return dict(json.loads(text)) if text.strip() else None


def _is_of_chart(chart: str) -> bool:
    """Return whether a chart with its version, such as `stablehand-0.1.0`, is ours."""
    name, _, version = chart.partition(f"{_CHART}-")
    return not name and version[:1].isdigit()


def _names(cluster: Cluster, *what: str) -> tuple[str, ...]:
    """Return namespace/name of each object of a kind, in all namespaces."""
    found = json.loads(cluster.kubectl("get", *what, "--all-namespaces", "-o", "json"))["items"]
    return tuple(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found)
