"""The environment of the real apps: pinned packages that nothing else here needs, installed once into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stablehand_dev.paths import REPOSITORY, cache_dir

_PINS = REPOSITORY / "requirements" / "real-apps.txt"


@pytest.fixture(scope="session")
def real_apps_python() -> Path:
    """Return a Python that has the real apps, and what the server needs."""
    wanted = hashlib.sha256(_PINS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = cache_dir() / f"real-apps-{wanted}"
    python = environment / "bin" / "python"
    complete = environment / "complete"
    if not complete.exists():
        uv = Path(sys.executable).with_name("uv")
        shutil.rmtree(environment, ignore_errors=True)
        for command in (
            ["venv", "--python", sys.executable, str(environment)],
            ["pip", "sync", "--python", str(python), "--require-hashes", str(_PINS)],
        ):
            subprocess.run([str(uv), *command, "--quiet"], check=True, timeout=300)
        complete.touch()
    return python


@pytest.fixture
def launch_real(launch, real_apps_python, tmp_path):
    """Start a server in that environment."""

    def launch_real_app(*flags: str, app: str, **environment: str):
        path = os.pathsep.join(map(str, (REPOSITORY / "server", REPOSITORY / "tuner", tmp_path)))
        instead = ["sh", "-c", 'shift; exec "$0" "$@"', str(real_apps_python)]
        return launch(*flags, app=app, wrapper=instead, PYTHONPATH=path, **environment)

    return launch_real_app
