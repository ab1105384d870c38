"""`stablehand-dev cluster`: a Kubernetes for development."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stablehand_dev.cluster import binaries, lifecycle, one_node
from stablehand_dev.cluster.choice import Wish
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.errors import CommandFailedError, DevelopmentError, MissingPrerequisiteError
from stablehand_dev.paths import cache_dir
from stablehand_dev.progress import console, say, step

app = typer.Typer(no_args_is_help=True, help="A Kubernetes cluster for development: yours, kind, or one node.")

KubeconfigOption = Annotated[
    Path | None, typer.Option(help="Use the cluster of this kubeconfig; it is never created or removed.")
]
ContextOption = Annotated[str | None, typer.Option(help="The context to use in that kubeconfig.")]


@app.command()
def up(kubeconfig: KubeconfigOption = None, context: ContextOption = None) -> None:
    """Start the cluster, or find it running, and print its kubeconfig's path."""
    if context is not None and kubeconfig is None:
        raise MissingPrerequisiteError("--context needs --kubeconfig: which file is it in?")
    cluster = lifecycle.up(Wish.from_environment(kubeconfig, context))
    print(cluster.kubeconfig)


@app.command()
def down() -> None:
    """Remove the cluster completely; one of your own is left alone."""
    lifecycle.down()


@app.command()
def status() -> None:
    """Show what is up; the exit status is 0 if the cluster answers, 1 if it does not or there is none."""
    cluster = lifecycle.current()
    if cluster is None:
        raise DevelopmentError("No cluster is up: `make cluster` starts one")
    say(f"kind: {cluster.kind}")
    say(f"kubeconfig: {cluster.kubeconfig}")
    if cluster.kind == "one-node":
        table = Table("component", "process")
        for name, runs in one_node.status().items():
            table.add_row(name, "runs" if runs else "has ended")
        console.print(table)
    try:
        cluster.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
    except CommandFailedError as error:
        raise DevelopmentError(f"The cluster does not answer: `make cluster` repairs it.\n{error}") from error
    say("The API server is ready")


@app.command()
def kubeconfig() -> None:
    """Print the kubeconfig's path, as in: export KUBECONFIG=$(stablehand-dev cluster kubeconfig)."""
    print(_current().kubeconfig)


@app.command()
def tools() -> None:
    """Build, or unpack, the programs that tests run without a cluster, so that no test has to wait for them."""
    for program in (binaries.kube, binaries.etcd, binaries.helm, binaries.prometheus):
        print(program())


@app.command()
def purge() -> None:
    """Delete the cache: binaries, packages, image layers. The cluster has to be down."""
    if lifecycle.current() is not None:
        raise DevelopmentError("A cluster is up, and runs from the cache: take it down first (`make cluster-down`)")
    if cache_dir().exists():
        with step(f"Deleting {cache_dir()}"):
            shutil.rmtree(cache_dir())


def _current() -> Cluster:
    cluster = lifecycle.current()
    if cluster is None:
        raise DevelopmentError("No cluster is up: `make cluster` starts one")
    return cluster
