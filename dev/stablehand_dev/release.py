"""The command `stablehand-dev release`: one version everywhere, and the changelog from its fragments."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stablehand_dev.commands import run
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(help="Prepares a release: versions and changelog.")

# Where the version is written: the file, and a pattern whose only group is the version.
_DISTRIBUTIONS = (".", "tuner", "simulator", "server", "operator", "dev")
PLACES = (
    *((f"{folder}/pyproject.toml", r'(?m)^version = "(.+)"$') for folder in _DISTRIBUTIONS),
    ("charts/stablehand/Chart.yaml", r"(?m)^version: (.+)$"),
    ("charts/stablehand/Chart.yaml", r"(?m)^appVersion: (.+)$"),
    ("README.md", r"stablehand/(?:server|operator):([\w.-]+)"),
    ("README.md", r"image\.tag=([\w.-]+)"),
    ("docs/server.md", r"stablehand/server:([\w.-]+)"),
)
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?")  # what Semantic Versioning and Helm both take


@app.callback(invoke_without_command=True)
def release(
    version: Annotated[str, typer.Argument(help="As Semantic Versioning writes it, such as 0.2.0.")],
) -> None:
    """Update the version everywhere, and collect the fragments in changes/ into CHANGELOG.md; commits nothing."""
    if not _VERSION.fullmatch(version):
        raise DevelopmentError(f"{version} is not a version: give one like 0.2.0 or 0.2.0-rc.1")
    if run(["git", "status", "--porcelain"], cwd=REPOSITORY):
        raise DevelopmentError("there are uncommitted changes: commit them first, so that a release can be undone")
    if f"\n## {version} " in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise DevelopmentError(f"CHANGELOG.md has a version {version} already")
    if not any(each.name != "README.md" for each in (REPOSITORY / "changes").glob("*.md")):
        raise DevelopmentError("changes/ has no fragment: there is nothing to release")
    set_version(REPOSITORY, version)
    run([sys.executable, "-m", "towncrier", "build", "--yes", "--version", version], cwd=REPOSITORY)
    typer.echo(
        f"The version is now {version}. Review CHANGELOG.md and the diff, then:\n"
        f"  make test && git commit --all --message 'Release {version}' && git tag v{version}"
    )


def versions(root: Path) -> dict[str, set[str]]:
    """Return the versions that each file states.

    Raises:
        DevelopmentError: when one states none where it should.
    """
    found: dict[str, set[str]] = {}
    for name, pattern in PLACES:
        stated = set(re.findall(pattern, (root / name).read_text(encoding="utf-8")))
        if not stated:
            raise DevelopmentError(f"{name} states no version as {pattern!r} would find it")
        found.setdefault(name, set()).update(stated)
    return found


def set_version(root: Path, version: str) -> None:
    """Write the version in every place that has one."""
    versions(root)  # before anything is written: is each place there
    for name, pattern in PLACES:
        path = root / name
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(pattern, lambda found: found[0].replace(found[1], version), text), encoding="utf-8")
