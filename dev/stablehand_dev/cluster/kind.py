"""kind's clusters, each with a kubeconfig of its own: the user's default one is not touched."""

from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.paths import run_dir
from stablehand_dev.progress import say, step

NAME = "stablehand"
_SUFFIX = ".kind.kubeconfig"


def up(name: str = NAME) -> Cluster:
    """Return the kind cluster, created if it is not there.

    Raises:
        CommandFailedError: kind failed.
    """
    kubeconfig = _kubeconfig(name)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    if name in commands.run(["kind", "get", "clusters"]).split():
        commands.run(["kind", "export", "kubeconfig", "--name", name, "--kubeconfig", kubeconfig])
        say(f"The kind cluster {name} is already up")
    else:
        with step(f"Creating the kind cluster {name}"):
            commands.run(["kind", "create", "cluster", "--name", name, "--kubeconfig", kubeconfig, "--wait", "180s"])
    return Cluster(kubeconfig, "kind")


def down(name: str = NAME) -> None:
    """Delete the kind cluster and its kubeconfig.

    Raises:
        CommandFailedError: kind failed.
    """
    kubeconfig = _kubeconfig(name)
    with step(f"Deleting the kind cluster {name}"):
        commands.run(["kind", "delete", "cluster", "--name", name, "--kubeconfig", kubeconfig])
    kubeconfig.unlink(missing_ok=True)


def name_of(cluster: Cluster) -> str:
    """Return the name of a kind cluster that `up` returned."""
    return cluster.kubeconfig.name.removesuffix(_SUFFIX)


def _kubeconfig(name: str) -> Path:
    return run_dir() / f"{name}{_SUFFIX}"
