"""Removes a one-node cluster completely, whatever its state."""

import os
import shutil
from functools import partial
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster.one_node import cgroups, sandbox
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.pid_files import ProcessIdentity
from stablehand_dev.cluster.one_node.waiting import wait_until
from stablehand_dev.errors import DevelopmentError


def tear_down(layout: Layout) -> None:
    """End the sandbox, and remove its link, its cgroups and its directories. A second call finds nothing to do.

    With the sandbox's first process the kernel ends every process in it, and with the last of them its mounts, its
    interfaces and its iptables rules.

    Raises:
        DevelopmentError: something could not be removed; it says what.
    """
    while (init := sandbox.find_init(layout)) is not None:
        init.kill()
        wait_until(partial(_gone, init), what="the end of the node's processes", timeout=20)
    _reap_own_children()
    if Path(f"/sys/class/net/{layout.name}").exists():
        commands.run(["ip", "link", "delete", layout.name])
    cgroups.remove(layout)
    _remove_directories(layout)


def remains(layout: Layout) -> list[str]:
    """Return what is left of a cluster, one phrase each; an empty list means that there is none."""
    found = []
    if sandbox.find_init(layout) is not None:
        found.append("processes")
    if Path(f"/sys/class/net/{layout.name}").exists():
        found.append(f"the link {layout.name}")
    if cgroups.exists(layout):
        found.append(f"the cgroup {layout.cgroup}")
    found.extend(str(directory) for directory in (layout.run, layout.state) if directory.exists())
    return found


def _gone(process: ProcessIdentity) -> bool:
    return not process.alive()


def _remove_directories(layout: Layout) -> None:
    """Remove the two directories, but never through a mount: that would delete what is mounted there."""
    for directory in (layout.run, layout.state):
        inside = [mount for mount in _mounts() if mount == directory or directory in mount.parents]
        if inside:
            raise DevelopmentError(
                f"{directory} is not removed: {', '.join(map(str, inside))} is mounted there. Unmount it "
                "(umount PATH), then run `make cluster-down` again."
            )
        if directory.exists():
            shutil.rmtree(directory)


def _mounts() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [Path(line.split()[4].replace("\\040", " ")) for line in lines]


def _reap_own_children() -> None:
    """Reap the ended children of this process: a test, for example, both starts and removes a cluster."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            continue
    except ChildProcessError:
        return
