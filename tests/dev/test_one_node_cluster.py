"""A one-node cluster of the test's own, beside any that is up: it works, can be repaired, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from stablehand_dev.cluster.one_node import lifecycle, pid_files, sandbox, teardown
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.waiting import wait_until
from stablehand_dev.images import builder as builders
from stablehand_dev.images import delivery, provision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_dev.cluster import Cluster

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("apt-get") is None,
        reason="a one-node cluster needs Linux, root and apt-get",
    ),
]

# Where programs of a node write when nobody tells them otherwise.
SYSTEM_PATHS = [
    *("/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kube-proxy"),
    *("/var/log/pods", "/var/log/containers", "/run/containerd", "/run/netns", "/run/cni", "/run/runc"),
    *("/run/xtables.lock", "/etc/cni", "/etc/containerd", "/etc/kubernetes", "/opt/cni", "/opt/containerd"),
    "/usr/libexec/kubernetes",
]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A cluster's place of its own: another name, other addresses, other directories than the developer's cluster."""
    # Sockets have short paths: pytest's own directories are too long for one.
    layout = Layout(name="stablehand-test", number=1, run=Path("/run/stablehand-test"), state=tmp_path / "state")
    yield layout
    teardown.tear_down(layout)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def machine() -> dict[str, object]:
    """Everything about the machine that a cluster might change."""
    # the first cluster of a machine may have to install it; chains of the kernel's own have a policy instead of a dash
    saved = output("iptables-save").splitlines() if shutil.which("iptables-save") else []
    rules = [line.partition(" [")[0] for line in saved if line.startswith("-A") or " - [" in line]
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return {
        "links": sorted(link["ifname"] for link in json.loads(output("ip", "-json", "link"))),
        "routes": output("ip", "route"),
        "rules": rules,
        "mounts": sorted((fields[4], fields[fields.index("-") + 1]) for fields in mounts),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii"),
        "paths": [path for path in SYSTEM_PATHS if Path(path).exists()],
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/stablehand-test*")),
    }


def processes_of(init: int) -> list[int]:
    """Return the processes in the node's PID namespace, and those in the pods' own below them."""
    node = namespace(init, "pid")
    found = [pid for pid in all_pids() if namespace(pid, "pid") == node]
    for each in found:
        found.extend(child for child in pid_files.children(each) if child not in found)
    return found


def namespace(pid: int, kind: str) -> str | None:
    """Return which namespace a process is in; None for one that has ended, or that even root may not look into."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None


def namespaces(pids: list[int]) -> set[str]:
    found = {namespace(pid, kind) for pid in pids for kind in ("net", "mnt", "pid")}
    return {each for each in found if each is not None}


def all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def run_two_pods_behind_a_service(cluster: Cluster) -> str:
    """Run the example app twice, and return the address of its Service once both are ready."""
    builder = builders.choose()
    images = provision.build(builder)
    delivery.deliver(cluster, builder, images.example)
    labels = {"app": "echo"}
    container = {
        "name": "echo",
        "image": images.example,
        "command": ["python3", "-m", "http.server", "8000", "--directory", "/app"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "echo"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"securityContext": {"runAsNonRoot": True}, "containers": [container]},
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([deployment, service]))
    cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=120s")
    return cluster.kubectl("get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_a_cluster_runs_pods_routes_services_and_leaves_nothing_behind(layout: Layout):
    before, own_namespaces = machine(), namespaces([os.getpid()])

    cluster = lifecycle.up(layout)
    address = run_two_pods_behind_a_service(cluster)
    wait_until(lambda: answers(f"http://{address}/"), what="an answer from the machine to the Service", timeout=30)
    inside = f"import urllib.request; print(urllib.request.urlopen('http://{address}/', timeout=10).status)"
    assert cluster.kubectl("exec", "deployment/echo", "--", "python3", "-c", inside).strip() == "200"
    init = sandbox.find_init(layout)
    assert init is not None
    processes = processes_of(init.pid)
    used = namespaces(processes) - own_namespaces
    assert len(processes) > 10
    assert len(used) > 6

    lifecycle.down(layout)

    assert teardown.remains(layout) == []
    assert namespaces(all_pids()) & used == set()
    assert machine() == before


def test_a_second_up_finds_the_cluster_and_restarts_what_has_died(layout: Layout):
    cluster = lifecycle.up(layout)
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    init = sandbox.find_init(layout)

    lifecycle.up(layout)
    assert sandbox.find_init(layout) == init

    for name in ("kube-scheduler", "etcd"):
        waiting = pid_files.read(layout.pids / f"{name}.json")
        assert waiting is not None
        for child in pid_files.children(waiting.pid):
            os.kill(child, signal.SIGKILL)
        wait_until(lambda waiting=waiting: not waiting.alive(), what=f"the end of {name}", timeout=10)
    assert lifecycle.status(layout)["etcd"] is False

    lifecycle.up(layout)

    assert all(lifecycle.status(layout).values())
    assert sandbox.find_init(layout) == init
    assert cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"


def test_what_a_crash_left_behind_is_cleaned_up_by_the_next_up(layout: Layout):
    lifecycle.up(layout)
    init = sandbox.find_init(layout)
    assert init is not None
    # As after a restart of the machine: no process, but directories, cgroups and pid files of the last boot.
    init.kill()
    wait_until(lambda: not init.alive(), what="the end of the node", timeout=10)
    assert teardown.remains(layout) != []

    lifecycle.up(layout)

    assert all(lifecycle.status(layout).values())


def test_a_cluster_whose_pid_files_are_lost_is_still_found_and_removed(layout: Layout):
    lifecycle.up(layout)
    shutil.rmtree(layout.pids)

    lifecycle.down(layout)

    assert teardown.remains(layout) == []
