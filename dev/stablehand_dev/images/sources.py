"""What goes into each image, and the tag that stands for it: the same sources always have the same tag."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TARGETS = ("operator", "server", "example")

# Files and folders, relative to the repository, that a target's result depends on.
_COMMON = ("Dockerfile", ".dockerignore", "requirements/build.txt", "tuner", "simulator", "server", "operator")
INPUTS = {
    "operator": (*_COMMON, "requirements/operator.txt"),
    "server": (
        *_COMMON,
        "requirements/server.txt",
        "requirements/app-pip.txt",
        "requirements/app-constraints.txt",
    ),
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


@contextmanager
def snapshot(repository: Path) -> Iterator[Path]:
    """Copy all sources to a directory that goes away afterwards, and return it.

    Tag and build both work on the copy: a file that is saved in between cannot get into an image whose tag does not
    know it.
    """
    with tempfile.TemporaryDirectory(prefix="stablehand-sources-") as directory:
        copy = Path(directory)
        for entry in sorted({entry for entries in INPUTS.values() for entry in entries}):
            for path in _files(repository / entry):
                target = copy / path.relative_to(repository)
                target.parent.mkdir(parents=True, exist_ok=True)
                # With its time: layers are cached by it.
                shutil.copy2(path, target)
        yield copy


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name in _BYPRODUCTS or entry.name.endswith((".egg-info", ".pyc")):
            continue
        yield from _files(entry)
