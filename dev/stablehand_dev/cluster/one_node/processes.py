"""Starts the node's components as processes that outlive this one, and reports which of them run."""

from pathlib import Path

from stablehand_dev.cluster.one_node import pid_files
from stablehand_dev.cluster.one_node.components import Component
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.pid_files import ProcessIdentity
from stablehand_dev.cluster.one_node.sandbox import enter
from stablehand_dev.cluster.one_node.spawning import spawn


def start(layout: Layout, init: ProcessIdentity, component: Component) -> None:
    """Start a component inside the sandbox.

    The pid file names the nsenter that waits for it: it ends when the component does.
    """
    pid = spawn(enter(init, list(component.command)), log_of(layout, component.name))
    identity = ProcessIdentity.of(pid)
    if identity is not None:
        pid_files.write(_pid_file(layout, component.name), identity)


def runs(layout: Layout, name: str) -> bool:
    """Return whether a component's process runs; whether it also works is asked of the API server."""
    identity = pid_files.read(_pid_file(layout, name))
    return identity is not None and identity.alive()


def log_of(layout: Layout, name: str) -> Path:
    """Return a component's log."""
    return layout.logs / f"{name}.log"


def _pid_file(layout: Layout, name: str) -> Path:
    return layout.pids / f"{name}.json"
