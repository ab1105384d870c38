"""A kind cluster named `stablehand`, with a kubeconfig of its own: the user's default one is not touched."""

from stablehand_dev import commands
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.paths import run_dir
from stablehand_dev.progress import say, step

NAME = "stablehand"


def up() -> Cluster:
    """Return the kind cluster, created if it is not there.

    Raises:
        CommandFailedError: kind failed.
    """
    kubeconfig = run_dir() / "kind.kubeconfig"
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    if NAME in commands.run(["kind", "get", "clusters"]).split():
        commands.run(["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", kubeconfig])
        say(f"The kind cluster {NAME} is already up")
    else:
        with step(f"Creating the kind cluster {NAME}"):
            commands.run(["kind", "create", "cluster", "--name", NAME, "--kubeconfig", kubeconfig, "--wait", "180s"])
    return Cluster(kubeconfig, "kind")


def down() -> None:
    """Delete the kind cluster and its kubeconfig.

    Raises:
        CommandFailedError: kind failed.
    """
    kubeconfig = run_dir() / "kind.kubeconfig"
    with step(f"Deleting the kind cluster {NAME}"):
        commands.run(["kind", "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig])
    kubeconfig.unlink(missing_ok=True)
