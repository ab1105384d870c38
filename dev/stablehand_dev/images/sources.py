"""What goes into each image, and the tag that stands for it: the same sources always have the same tag."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

TARGETS = ("operator", "server", "example")

# Files and folders, relative to the repository, that a target's result depends on.
_COMMON = ("Dockerfile", ".dockerignore", "requirements/build.txt", "tuner", "server", "operator")
INPUTS = {
    "operator": (*_COMMON, "requirements/operator.txt"),
    "server": (*_COMMON, "requirements/server.txt"),
    "example": (*_COMMON, "requirements/server.txt", "requirements/example.txt", "examples"),
}
_BYPRODUCTS = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def tag(repository: Path, target: str, base_image: str) -> str:
    """Return the tag of an image: a hash of its sources, their names, and the base.

    Args:
        repository: the root of the checkout.
        target: one of `TARGETS`.
        base_image: the reference that BASE_IMAGE is set to.

    Raises:
        FileNotFoundError: a source is missing.
    """
    digest = hashlib.sha256(base_image.encode())
    for entry in INPUTS[target]:
        for path in _files(repository / entry):
            content = path.read_bytes()
            digest.update(f"\n{path.relative_to(repository)} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name in _BYPRODUCTS or entry.name.endswith((".egg-info", ".pyc")):
            continue
        yield from _files(entry)
