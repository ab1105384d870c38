"""gunicorn's own tests: fetched as its source distribution, never copied into this repository."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stablehand_dev.paths import REPOSITORY, cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGINS = Path(__file__).parent / "plugin"
_PINS = REPOSITORY / "requirements" / "dev.txt"
_MARK = "STABLEHAND_SUITE_RUN"


def _pin() -> str:
    """Return the pinned requirement of gunicorn, with its hashes: the version that all other tests use too."""
    found = re.search(r"^gunicorn==(?:.*\\\n)*.*\n", _PINS.read_text(), re.MULTILINE)
    assert found, f"{_PINS} pins no gunicorn"
    return found[0]


def _fetch(pin: str, directory: Path) -> None:
    requirement = directory / "requirement.txt"
    requirement.write_text(pin)
    # pip asks a source distribution for its metadata; it does so with the pinned setuptools of this environment.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "gunicorn", "--no-build-isolation", "--require-hashes"]
    subprocess.run([*command, "--requirement", str(requirement), "--dest", str(directory)], check=True, timeout=120)
    (archive,) = directory.glob("gunicorn-*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(directory, filter="data")


@pytest.fixture(scope="session")
def suite() -> Path:
    """Return a directory with gunicorn's tests and their configuration, and without gunicorn itself."""
    pin = _pin()
    name = hashlib.sha256(pin.encode()).hexdigest()[:16]
    place = cache_dir() / "gunicorn-suite" / name
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            _fetch(pin, Path(scratch))
            (unpacked,) = Path(scratch).glob("gunicorn-*/")
            # The one that is installed is tested; this one would come before it on the path.
            (unpacked / "gunicorn").rename(Path(scratch) / "gunicorn")
            with contextlib.suppress(FileExistsError):  # another run was faster
                unpacked.rename(place)
    return place


@pytest.fixture
def run_suite() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run tests of gunicorn's in processes of their own, on our arbiter and application; none of them outlives it."""

    def run(directory: Path, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        mark = uuid.uuid4().hex
        command = [sys.executable, "-m", "pytest", "--override-ini=addopts=", "-p", "no:cacheprovider", "--quiet"]
        command += ["-p", "live_gunicorn", "-p", "listed_exceptions", "--timeout=100", *arguments]
        # The tests leave files; what is in this directory goes with it, and a socket's path in it is short enough.
        with tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True) as scratch:
            environment = {**os.environ, "PYTHONPATH": str(PLUGINS), "TMPDIR": scratch, _MARK: mark}
            environment.pop("PYTEST_CURRENT_TEST", None)
            try:
                return subprocess.run(
                    command,
                    cwd=directory,
                    env=environment,
                    timeout=seconds,
                    check=False,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            finally:
                _end_marked(mark)

    return run


def _end_marked(mark: str) -> None:
    """End every process that the run has left: servers of tests have sessions of their own."""
    marked = f"{_MARK}={mark}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or not ours
            if marked in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
