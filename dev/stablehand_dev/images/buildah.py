"""Builds images without a container engine: buildah, with a base image made from Debian's packages.

Each call runs in a mount namespace of its own: what buildah mounts goes away with it.
"""

import os
import platform
import shutil
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster import debian
from stablehand_dev.errors import CommandFailedError
from stablehand_dev.images.build_arguments import build_arguments, certificate_bundle, pip_configuration
from stablehand_dev.paths import cache_dir
from stablehand_dev.progress import step

_RELEASE = "bookworm"
_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# Counted up when the way in which the base is made changes.
_BASE_VERSION = 1
_CERTIFICATES = "/run/certificate-authorities.pem"
_PRIVATE = ("unshare", "--mount", "--propagation", "private", "--")
_BULK = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")


class Buildah:
    """buildah with a store of its own in the cache."""

    def __init__(self) -> None:
        debian.install_missing({"buildah": "buildah", "tar": "tar", "unshare": "util-linux"})
        self._store = cache_dir() / "images" / "store"
        self._policy = cache_dir() / "images" / "policy.json"
        self._policy.parent.mkdir(parents=True, exist_ok=True)
        # Images built here are not signed.
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n', encoding="ascii")

    def base_image(self) -> str:
        """Return the base that the user named, else the reference of the one made from Debian's packages."""
        own = f"localhost/stablehand/base:{_RELEASE}-{platform.machine()}-{_BASE_VERSION}"
        return os.environ.get("STABLEHAND_BASE_IMAGE") or own

    def has(self, reference: str) -> bool:
        """Return whether buildah's store keeps an image of this name."""
        try:
            commands.run(self._command("inspect", "--type", "image", "--format", "{{.FromImageID}}", reference))
        except CommandFailedError:
            return False
        return True

    def build(self, target: str, reference: str, context: Path) -> None:
        """Build a target of the context's Dockerfile, the base image first if it is not there."""
        base = self.base_image()
        if base.startswith("localhost/stablehand/base:") and not self.has(base):
            self._make_base(base)
        options = [
            *("--ignorefile", str(context / ".dockerignore"), "--target", target, f"--build-arg=BASE_IMAGE={base}"),
            *build_arguments(os.environ),
        ]
        self._bud(reference, context, options, cache_dir() / "logs" / f"image-{target}.log")

    def build_app(self, reference: str, context: Path) -> None:
        """Build a user's own Dockerfile; pip is told of this machine's index and certificates by a mounted file."""
        bundle = certificate_bundle(os.environ)
        configuration = self._policy.with_name("pip.conf")
        configuration.write_text(pip_configuration(os.environ, bundle and _CERTIFICATES), encoding="utf-8")
        options = [f"--volume={configuration}:/etc/pip.conf:ro"]
        if bundle is not None:
            options.append(f"--volume={bundle}:{_CERTIFICATES}:ro")
        self._bud(reference, context, options, cache_dir() / "logs" / "image-app.log")

    def _bud(self, reference: str, context: Path, options: list[str], log: Path) -> None:
        commands.run_logged(
            self._command(
                *("bud", "--isolation", "chroot", "--network", "host", "--layers", "--pull-never", "--format", "oci"),
                *("--signature-policy", str(self._policy), "--tag", reference, *options, str(context)),
            ),
            log,
        )

    def export(self, reference: str, archive: Path) -> None:
        """Write a docker archive."""
        archive.unlink(missing_ok=True)
        self._push(reference, f"docker-archive:{archive}:{reference}")

    def push(self, reference: str) -> None:
        """Push to the registry in the name, with the credentials that `buildah login` or `docker login` left."""
        self._push(reference, f"docker://{reference}")

    def _push(self, reference: str, destination: str) -> None:
        commands.run(self._command("push", "--signature-policy", str(self._policy), reference, destination))

    def _make_base(self, reference: str) -> None:
        debian.install_missing({"debootstrap": "debootstrap"})
        root = cache_dir() / "images" / "base"
        archive = root.with_suffix(".tar")
        shutil.rmtree(root, ignore_errors=True)
        with step(f"Making a base image of Debian {_RELEASE} with Python (about a minute, once)"):
            commands.run_logged(
                [*_PRIVATE, "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _RELEASE, root],
                cache_dir() / "logs" / "debootstrap.log",
            )
            for bulk in _BULK:
                shutil.rmtree(root / bulk)
                (root / bulk).mkdir()
            commands.run(["tar", "--create", "--numeric-owner", "--directory", root, "--file", archive, "."])
            container = commands.run(self._command("from", "--pull-never", "scratch")).strip()
            try:
                commands.run(self._command("add", container, str(archive), "/"))
                commands.run(self._command("config", "--cmd", "python3", container))
                commands.run(
                    self._command("commit", "--signature-policy", str(self._policy), "--quiet", container, reference)
                )
            finally:
                commands.run(self._command("rm", container))
            shutil.rmtree(root)
            archive.unlink()

    def _command(self, *arguments: str) -> list[str]:
        store = ("--root", str(self._store), "--runroot", str(self._store.with_name("run")))
        return [*_PRIVATE, "buildah", *store, "--storage-driver", "overlay", *arguments]
