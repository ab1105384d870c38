"""The command `stablehand-dev demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stablehand_dev import cluster as clusters
from stablehand_dev import images as image_builds
from stablehand_dev.demo import figures
from stablehand_dev.demo.on_cluster import APP, NAMESPACE, RELEASE, Demonstration
from stablehand_dev.demo.reach import url_of
from stablehand_dev.demo.watching import CONNECTIONS, RequestsFailedError, watch
from stablehand_dev.errors import DevelopmentError
from stablehand_dev.progress import say, step

if TYPE_CHECKING:
    from stablehand_dev.cluster import Cluster

app = typer.Typer()

_QUIET_SECONDS = 20.0
_LONGEST_SECONDS = 240.0


@app.command()
def run(
    *,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Remove what an earlier demonstration left on the cluster, and stop.")
    ] = False,
) -> None:
    """Show the whole path on a real Kubernetes: apply an app, load it, watch it tune itself."""
    console = Console(highlight=False)
    if cleanup:
        _clean_up()
        return
    cluster = clusters.up()
    images = image_builds.ensure(cluster)
    demonstration = Demonstration(cluster)
    with step(f"helm install {RELEASE} charts/stablehand"):
        demonstration.install(images.operator)
    with step("kubectl apply -f examples/io_bound/wsgiapp.yaml"):
        demonstration.apply(images.example)
    pods = demonstration.pods()
    with url_of(cluster, NAMESPACE, APP) as url:
        say(f"{CONNECTIONS} clients ask {url}, an app that waits 100 ms a request; it starts with one sync worker")
        result = watch(console, url, demonstration.read, quiet=_QUIET_SECONDS, longest=_LONGEST_SECONDS, every=2)
    figures.show(console, result)
    same = demonstration.pods() == pods
    console.print("The same pod from first to last, without a restart" if same else "[red]The pod was replaced[/red]")
    console.print(f"\n$ kubectl get wsgiapps\n{demonstration.table()}", markup=False)
    _how_to_go_on(console, cluster)
    if result.whole.failed:
        raise RequestsFailedError(f"{result.whole.failed} of {result.whole.requests} requests failed")
    if not same:
        raise DevelopmentError("the pod was replaced or restarted: see kubectl describe pods")


def _how_to_go_on(console: Console, cluster: Cluster) -> None:
    context = "" if cluster.context is None else f" --context {cluster.context}"
    kubectl = " ".join(cluster.kubectl_command()[:1])
    lines = (
        "Look further:",
        f"  export KUBECONFIG={cluster.kubeconfig}",
        f"  {kubectl}{context} describe wsgiapp {APP} -n {NAMESPACE}   # the decisions, each with its numbers",
        f"  {kubectl}{context} logs deployment/{RELEASE} -n {NAMESPACE}   # the operator",
        f"  .venv/bin/stablehand-dev dashboard queries {NAMESPACE} {APP}   # see docs/dashboard.md",
        "Clean up:",
        "  .venv/bin/stablehand-dev demo --cleanup   # the demonstration; the cluster stays",
        "  make cluster-down   # the cluster, without a trace",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _clean_up() -> None:
    cluster = clusters.current()
    if cluster is None:
        raise DevelopmentError("No cluster is up, so nothing of a demonstration is left")
    with step("Removing the demonstration"):
        gone = Demonstration(cluster).remove()
    if not gone:
        say("The definition of WSGIApp stays: it is not the demonstration's, or other WSGIApps are there")
