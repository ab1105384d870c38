"""The machine that a benchmark runs on: which cores it may use, and what must be said beside its numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from stablehand_bench.errors import BenchError

_PACKAGES = ("gunicorn", "gevent", "prometheus-client", "gunicorn-prometheus-exporter", "uWSGI", "granian")


class Cores(NamedTuple):
    """The load generator has a core of its own, so that it never takes the server's time; numbers of cores."""

    server: int
    load: int


def cores() -> Cores:
    """Choose a core for the server and one for the load.

    Raises:
        BenchError: with fewer than two cores.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:  # noqa: PLR2004 (one for each)
        raise BenchError("two cores are needed: one for the server, one for the load")
    return Cores(server=usable[0], load=usable[-1])


def description() -> dict[str, Any]:
    """Return what a reader must know to judge the numbers: processor, kernel, versions, and who else was busy."""
    installed = {each.metadata["Name"].lower().replace("_", "-"): each.version for each in metadata.distributions()}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {package: installed[package] for package in _PACKAGES if package in installed},
        "load_average_before": load_average(),
        "commit": commit(),
    }


def commit() -> str:
    """Return which commit is measured, with a plus where the code is not exactly its own; empty outside of git.

    The pages in docs/ do not count: the bench itself writes them, part by part.
    """
    git = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ".", ":!docs"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.stdout.strip() + ("+" if changed else "")


def load_average() -> float:
    """Return how many tasks wanted a core over the last minute: what else ran."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
