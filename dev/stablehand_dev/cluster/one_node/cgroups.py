"""The cgroup below which all of the cluster's pods live: made before the kubelet starts, removed after the last pod."""

import errno
from functools import partial
from pathlib import Path

from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.waiting import wait_until
from stablehand_dev.errors import DevelopmentError

_ROOT = Path("/sys/fs/cgroup")
# What the kubelet wants to find in its parent cgroup.
_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


def create(layout: Layout) -> None:
    """Make the parent cgroup in every hierarchy.

    Raises:
        DevelopmentError: no cgroup hierarchy is mounted where it usually is.
    """
    if (_ROOT / "cgroup.controllers").exists():
        _enable(_ROOT)
        parent = _parents(layout)[0]
        parent.mkdir(exist_ok=True)
        _enable(parent)
        return
    parents = _parents(layout)
    if not parents:
        raise DevelopmentError(f"No cgroups are mounted below {_ROOT}: pods cannot run here")
    for parent in parents:
        parent.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # A new cpuset is empty and takes no process until it is filled.
            if (parent / setting).exists() and not (parent / setting).read_text(encoding="ascii").strip():
                (parent / setting).write_text((_ROOT / parent.parent / setting).read_text(encoding="ascii"))


def remove(layout: Layout) -> None:
    """Remove the parent cgroup and all below it, once their processes have ended.

    Raises:
        DevelopmentError: a process in it does not end.
    """
    for parent in _parents(layout):
        wait_until(partial(_removed, parent), what=f"{parent} without processes", timeout=20)


def exists(layout: Layout) -> bool:
    """Return whether anything of it is there."""
    return any(parent.exists() for parent in _parents(layout))


def _parents(layout: Layout) -> list[Path]:
    name = layout.cgroup.strip("/")
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT / name]
    # cgroup v1: one hierarchy for each controller; links such as cpu -> cpu,cpuacct name the same one twice.
    hierarchies = {entry.resolve() for entry in _ROOT.iterdir() if (entry / "cgroup.procs").exists()}
    return [hierarchy / name for hierarchy in sorted(hierarchies)]


def _enable(cgroup: Path) -> None:
    """Hand every controller that is there down to the children (cgroup v2)."""
    available = (cgroup / "cgroup.controllers").read_text(encoding="ascii").split()
    for controller in _CONTROLLERS:
        if controller in available:
            (cgroup / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def _removed(cgroup: Path) -> bool:
    """Remove a tree of cgroups, deepest first; return whether it is gone. Busy ones are left for the next try."""
    if not cgroup.exists():
        return True
    children = [entry for entry in cgroup.iterdir() if entry.is_dir()]
    gone = [_removed(child) for child in children]
    if not all(gone):
        return False
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True
