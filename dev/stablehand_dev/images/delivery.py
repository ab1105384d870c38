"""Brings built images to where pods are started from: the node's containerd, kind's nodes, or a registry."""

from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster import kind
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.lifecycle import containerd_command
from stablehand_dev.images.builder import Builder
from stablehand_dev.paths import cache_dir


def present(cluster: Cluster) -> set[str]:
    """Return the references of the images that the cluster has, as far as it can be asked; built or not."""
    if cluster.kind != "one-node":
        return set()
    names = commands.run(containerd_command(_layout(cluster), "images", "list", "--quiet")).split()
    return {name.removeprefix("docker.io/") for name in names}


def deliver(cluster: Cluster, builder: Builder, reference: str) -> None:
    """Bring an image to the cluster; to one that the user named, by its registry.

    Raises:
        CommandFailedError: the node or the registry does not take it.
    """
    if cluster.kind == "existing":
        builder.push(reference)
        return
    archive = cache_dir() / "images" / f"{reference.rpartition('/')[2].replace(':', '-')}.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        builder.export(reference, archive)
        _load(cluster, archive)
    finally:
        archive.unlink(missing_ok=True)


def _load(cluster: Cluster, archive: Path) -> None:
    if cluster.kind == "kind":
        commands.run(["kind", "load", "image-archive", archive, "--name", kind.name_of(cluster)])
    else:
        commands.run(containerd_command(_layout(cluster), "images", "import", str(archive)))


def _layout(cluster: Cluster) -> Layout:
    """Return as much of a one-node cluster's layout as its kubeconfig tells: where it runs."""
    return Layout(run=cluster.kubeconfig.parent)
