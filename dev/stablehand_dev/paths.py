"""Where the development tools keep their files: a cache, and a directory of what runs."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Return the cache: binaries, packages, image layers. Deleting it costs time, nothing else."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "stablehand"


def run_dir() -> Path:
    """Return the directory of what runs now: pid files, logs, sockets, the kubeconfig."""
    if os.geteuid() == 0:
        return Path("/run/stablehand")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "stablehand" if runtime else cache_dir() / "run"
