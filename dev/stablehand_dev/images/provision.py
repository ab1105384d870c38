"""Makes sure that the images of this very source exist and that the cluster has them."""

import os
from pathlib import Path

from stablehand_dev.cluster.locking import locked
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.errors import MissingPrerequisiteError
from stablehand_dev.images import builder as builders
from stablehand_dev.images import delivery
from stablehand_dev.images.builder import Builder
from stablehand_dev.images.model import Images
from stablehand_dev.images.sources import TARGETS, snapshot, tag
from stablehand_dev.paths import REPOSITORY, cache_dir
from stablehand_dev.progress import step


def ensure(cluster: Cluster, registry: str | None = None) -> Images:
    """Build what is not built yet, bring to the cluster what it does not have yet, and return the names.

    Args:
        cluster: where the images are to run.
        registry: where to push them for a cluster that the user named, such as `registry.example.org/team`; by
            default the variable STABLEHAND_REGISTRY. Other clusters need none.

    Raises:
        MissingPrerequisiteError: nothing here can build images, or a registry is needed.
        CommandFailedError: a build failed; the message names its log.
    """
    registry = registry or os.environ.get("STABLEHAND_REGISTRY") or None
    if cluster.kind == "existing" and registry is None:
        raise MissingPrerequisiteError(
            "A cluster of your own gets the images from a registry: give --registry, or set STABLEHAND_REGISTRY "
            "(such as registry.example.org/team), and log in there first"
        )
    builder = builders.choose()
    images = build(builder, registry if cluster.kind == "existing" else None)
    there = delivery.present(cluster)
    for reference in (images.operator, images.server, images.example):
        if reference not in there:
            with step(f"Bringing {reference} to the cluster"), locked(cache_dir() / "images"):
                delivery.deliver(cluster, builder, reference)
    return images


def build(builder: Builder, registry: str | None = None) -> Images:
    """Build those images of this very source that the builder does not keep yet, and return the names of all."""
    with snapshot(REPOSITORY) as context, locked(cache_dir() / "images"):
        images = names(builder, registry, context)
        for target in TARGETS:
            reference = getattr(images, target)
            if not builder.has(reference):
                with step(f"Building {reference}"):
                    builder.build(target, reference, context)
    return images


def names(builder: Builder, registry: str | None = None, sources: Path = REPOSITORY) -> Images:
    """Return the names of the images of the sources, built or not."""
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    tags = {target: tag(sources, target, builder.base_image()) for target in TARGETS}
    return Images(**{target: f"{prefix}stablehand/{target}:{tags[target]}" for target in TARGETS})
