"""Starts a one-node cluster, repairs one that is incomplete, and takes it down."""

import platform
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster import binaries, debian
from stablehand_dev.cluster.model import Cluster
from stablehand_dev.cluster.one_node import (
    certificates,
    cgroups,
    configuration,
    pause_image,
    processes,
    sandbox,
    teardown,
)
from stablehand_dev.cluster.one_node.components import Component, Programs, components
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.pid_files import ProcessIdentity
from stablehand_dev.cluster.one_node.waiting import wait_until
from stablehand_dev.errors import CommandFailedError, DevelopmentError
from stablehand_dev.progress import say, step

# A program each package is known by: what is missing is installed.
_SYSTEM_PROGRAMS = {
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
_READY_TIMEOUT_S = 120.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def up(layout: Layout | None = None) -> Cluster:
    """Return the one-node cluster, started, repaired or found as it is.

    Raises:
        DevelopmentError: it does not start; the message quotes the log that tells why.
    """
    layout = layout or Layout()
    debian.install_missing(_SYSTEM_PROGRAMS)
    programs = prepare()
    init = sandbox.find_init(layout)
    if init is not None:
        try:
            if _repair(layout, programs, init):
                return cluster_of(layout)
        except DevelopmentError as error:
            say(f"The one-node cluster cannot be repaired ({error}); it is restarted")
    left = teardown.remains(layout)
    if left:
        say(f"Cleaning up what is left of an earlier cluster: {', '.join(left)}")
        teardown.tear_down(layout)
    try:
        _start(layout, programs)
    except BaseException:
        # The logs are worth more than a half cluster, but only as text: what runs is ended, files stay until `up`.
        running = sandbox.find_init(layout)
        if running is not None:
            running.kill()
        raise
    return cluster_of(layout)


def down(layout: Layout | None = None) -> None:
    """Remove the one-node cluster completely; nothing happens if there is none.

    Raises:
        DevelopmentError: something of it could not be removed.
    """
    layout = layout or Layout()
    if not teardown.remains(layout):
        say("There is no one-node cluster")
        return
    with step("Removing the one-node cluster"):
        teardown.tear_down(layout)


def prepare() -> Programs:
    """Build or fetch every program that a node runs, and return where they are."""
    return Programs(
        kubernetes=binaries.kube().parent,
        etcd=binaries.etcd(),
        tree=binaries.container_runtime(),
        pause=binaries.pause(),
    )


def cluster_of(layout: Layout) -> Cluster:
    """Return the cluster as its users see it."""
    return Cluster(layout.kubeconfig, "one-node")


def status(layout: Layout | None = None) -> dict[str, bool]:
    """Return for each component whether its process runs; empty where there is no cluster."""
    layout = layout or Layout()
    if sandbox.find_init(layout) is None:
        return {}
    nowhere = Programs(Path(), Path(), Path(), Path())
    return {component.name: processes.runs(layout, component.name) for component in components(layout, nowhere)}


def containerd_command(layout: Layout, *arguments: str) -> list[str]:
    """Return a command line for containerd's own client, in the namespace in which Kubernetes keeps its images.

    Raises:
        DevelopmentError: the cluster is not up.
    """
    init = sandbox.find_init(layout)
    if init is None:
        raise DevelopmentError("The one-node cluster is not up: run `make cluster`")
    ctr = binaries.container_runtime() / "usr" / "bin" / "ctr"
    socket = str(layout.containerd_socket)
    return sandbox.enter(init, [str(ctr), "--address", socket, "--namespace", "k8s.io", *arguments])


def _repair(layout: Layout, programs: Programs, init: ProcessIdentity) -> bool:
    """Restart what has died, and wait until all is ready; return whether the cluster was complete enough for that."""
    if not layout.kubeconfig.exists():
        return False
    dead = [part for part in components(layout, programs) if not processes.runs(layout, part.name)]
    if not dead and _api_ready(layout) and _node_ready(layout):
        say(f"The one-node cluster is already up; kubeconfig: {layout.kubeconfig}")
        return True
    names = ", ".join(part.name for part in dead) or "nothing has died, but it does not answer yet"
    with step(f"Repairing the one-node cluster ({names})"):
        _start_parts(layout, programs, init, dead)
    return True


def _start(layout: Layout, programs: Programs) -> None:
    _refuse_taken_addresses(layout)
    with step(f"Starting a one-node Kubernetes ({layout.run})"):
        sandbox.create(layout, programs.pause)
        cgroups.create(layout)
        certificates.issue(layout)
        configuration.write(layout, programs.tree)
        init = sandbox.find_init(layout)
        if init is None:
            raise DevelopmentError(f"The node's first process has ended:\n{commands.tail(layout.logs / 'sandbox.log')}")
        _start_parts(layout, programs, init, components(layout, programs))
    say(f"The one-node cluster is up; kubeconfig: {layout.kubeconfig}")


def _start_parts(layout: Layout, programs: Programs, init: ProcessIdentity, parts: Sequence[Component]) -> None:
    """Start components in order, each when those that it needs answer, and wait until pods can run."""
    every = components(layout, programs)
    answers = {"containerd": partial(_containerd_ready, layout), "kube-apiserver": partial(_api_ready, layout)}
    for part in every:
        if part not in parts:
            continue
        earlier = every[: every.index(part)]
        for need in part.needs:
            _wait_for(layout, answers[need], f"{need} answering", earlier)
        if part.name == "kubelet":
            _load_pause_image(layout, programs)
        processes.start(layout, init, part)
    _wait_for(layout, partial(_api_ready, layout), "the API server ready", every)
    _wait_for(layout, partial(_node_ready, layout), "the node ready", every)


def _wait_for(layout: Layout, condition: Callable[[], bool], what: str, parts: Sequence[Component]) -> None:
    """Wait for a condition that cannot come true once one of the components has ended."""

    def still_possible() -> None:
        for part in parts:
            if not processes.runs(layout, part.name):
                raise DevelopmentError(_death_notice(layout, part))

    logs = f"{what} (logs: {layout.logs})"
    wait_until(condition, what=logs, timeout=_READY_TIMEOUT_S, still_possible=still_possible)


def _death_notice(layout: Layout, part: Component) -> str:
    log = processes.log_of(layout, part.name)
    return f"{part.name} has ended; its log is {log}:\n{commands.tail(log)}"


def _load_pause_image(layout: Layout, programs: Programs) -> None:
    archive = layout.run / "pause.tar"
    pause_image.write(archive, programs.pause, _ARCHITECTURES.get(platform.machine(), platform.machine()))
    commands.run(containerd_command(layout, "images", "import", str(archive)))


def _containerd_ready(layout: Layout) -> bool:
    return _succeeds(containerd_command(layout, "version"))


def _api_ready(layout: Layout) -> bool:
    return _succeeds([*cluster_of(layout).kubectl_command(), "get", "--raw", "/readyz", "--request-timeout=5s"])


def _node_ready(layout: Layout) -> bool:
    """Return whether pods can be scheduled: the node is Ready and untainted, and tokens for pods can be made."""
    cluster = cluster_of(layout)
    ready = "{.status.conditions[?(@.type=='Ready')].status}{.spec.taints}"
    try:
        node = cluster.kubectl("get", "node", layout.name, "-o", f"jsonpath={ready}", timeout=10)
        cluster.kubectl("get", "serviceaccount", "default", timeout=10)
        authority = cluster.kubectl("get", "configmap", "kube-root-ca.crt", "-o", "name", timeout=10)
    except CommandFailedError:
        return False
    return node == "True" and bool(authority)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _refuse_taken_addresses(layout: Layout) -> None:
    """Refuse to start where the machine already routes the cluster's addresses elsewhere."""
    for network in (layout.pods, layout.link, layout.services):
        routes = commands.run(["ip", "route", "show", "root", str(network)]).strip()
        routes += commands.run(["ip", "route", "show", "match", str(network)]).strip()
        taken = [line for line in routes.splitlines() if line and not line.startswith("default")]
        if taken:
            raise DevelopmentError(f"{network} is needed for the one-node cluster, but is in use here: {taken[0]}")
