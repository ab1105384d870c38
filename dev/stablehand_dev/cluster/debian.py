"""Programs from Debian packages: extracted into the cache where a package would start services, installed otherwise."""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster.locking import locked
from stablehand_dev.errors import CommandFailedError, MissingPrerequisiteError
from stablehand_dev.paths import cache_dir
from stablehand_dev.progress import say, step

_APT = {"DEBIAN_FRONTEND": "noninteractive"}


def extracted(*packages: str) -> Path:
    """Return a directory with the packages' files as they lie below `/`, fetched and unpacked once.

    Nothing is installed: no service starts, no configuration of the machine changes, dependencies are not followed.

    Raises:
        MissingPrerequisiteError: there is no apt-get.
        CommandFailedError: a package could not be fetched or unpacked.
    """
    name = "+".join(sorted(packages))
    home = cache_dir() / "debian" / f"{name}-{_release()}-{platform.machine()}"
    with locked(home):
        if home.exists():
            return home
        partial = home.with_name(home.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        archives = partial / "archives"
        archives.mkdir(parents=True)
        with step(f"Fetching {', '.join(packages)} (Debian packages, unpacked into the cache, not installed)"):
            _with_package_lists(["apt-get", "-o", "APT::Sandbox::User=root", "download", *packages], archives)
            for archive in sorted(archives.glob("*.deb")):
                commands.run(["dpkg", "-x", archive, partial])
            shutil.rmtree(archives)
            partial.rename(home)
    return home


def install_missing(programs: Mapping[str, str]) -> None:
    """Install, by apt-get, the packages whose programs are not there, after saying so.

    Args:
        programs: each program that is needed, and the Debian package that brings it.

    Raises:
        MissingPrerequisiteError: something is missing and this process may not install it.
        CommandFailedError: apt-get failed.
    """
    missing = {program: package for program, package in programs.items() if which(program) is None}
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPrerequisiteError(f"{', '.join(sorted(missing))} missing: install {' '.join(packages)}")
    say(f"Not there yet: {', '.join(sorted(missing))}. Installing by apt-get: {' '.join(packages)}")
    with step(f"Installing {' '.join(packages)}"):
        _with_package_lists(["apt-get", "install", "--yes", "--no-install-recommends", *packages])


def which(program: str) -> str | None:
    """Return a program's path, looking in the administrator's directories too: a user's PATH often lacks them."""
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def _with_package_lists(command: list[str], cwd: Path | None = None) -> None:
    """Run an apt-get command; where it fails, fetch the lists of packages (a fresh machine has none) and try again."""
    try:
        commands.run(command, environment=_APT, cwd=cwd)
    except CommandFailedError:
        commands.run(["apt-get", "update"], environment=_APT)
        commands.run(command, environment=_APT, cwd=cwd)


def _release() -> str:
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
