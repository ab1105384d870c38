"""What builds images: Docker where it runs, else buildah, with the same Dockerfile."""

import os
from pathlib import Path
from typing import Protocol

from stablehand_dev import commands
from stablehand_dev.cluster.choice import docker_runs
from stablehand_dev.errors import CommandFailedError, MissingPrerequisiteError
from stablehand_dev.images.build_arguments import build_arguments
from stablehand_dev.images.buildah import Buildah
from stablehand_dev.paths import cache_dir


class Builder(Protocol):
    """Builds, keeps, exports and pushes images."""

    def base_image(self) -> str:
        """Return the reference that the Dockerfile's BASE_IMAGE is set to."""

    def has(self, reference: str) -> bool:
        """Return whether the builder keeps an image of this name."""

    def build(self, target: str, reference: str, context: Path) -> None:
        """Build a target of the context's Dockerfile and name it."""

    def build_app(self, reference: str, context: Path) -> None:
        """Build a user's own Dockerfile and name the result; its base is an image that the builder keeps."""

    def export(self, reference: str, archive: Path) -> None:
        """Write an image to a docker archive, its name inside."""

    def push(self, reference: str) -> None:
        """Push an image to the registry that is in its name."""


def choose() -> Builder:
    """Return Docker where its daemon answers, else buildah.

    Raises:
        MissingPrerequisiteError: neither is possible.
    """
    if docker_runs():
        return Docker()
    if os.geteuid() != 0:
        raise MissingPrerequisiteError("Building images needs a running Docker, or root on Debian (for buildah)")
    return Buildah()


class Docker:
    """Docker's own builder (BuildKit)."""

    def base_image(self) -> str:
        """Return the base that the user named, else the Dockerfile's own default."""
        return os.environ.get("STABLEHAND_BASE_IMAGE") or "python:3.13-slim"

    def has(self, reference: str) -> bool:
        """Return whether Docker keeps an image of this name."""
        try:
            commands.run(["docker", "image", "inspect", reference])
        except CommandFailedError:
            return False
        return True

    def build(self, target: str, reference: str, context: Path) -> None:
        """Build a target of the context's Dockerfile."""
        commands.run_logged(
            [
                *("docker", "build", "--target", target, "--tag", reference),
                f"--build-arg=BASE_IMAGE={self.base_image()}",
                *build_arguments(os.environ),
                context,
            ],
            cache_dir() / "logs" / f"image-{target}.log",
            environment={"DOCKER_BUILDKIT": "1"},
        )

    def build_app(self, reference: str, context: Path) -> None:
        """Build a user's own Dockerfile; a package index other than the usual one it has to name itself."""
        commands.run_logged(
            ["docker", "build", "--tag", reference, context],
            cache_dir() / "logs" / "image-app.log",
            environment={"DOCKER_BUILDKIT": "1"},
        )

    def export(self, reference: str, archive: Path) -> None:
        """Write a docker archive."""
        commands.run(["docker", "save", "--output", archive, reference])

    def push(self, reference: str) -> None:
        """Push to the registry in the name."""
        commands.run(["docker", "push", reference])
