"""The command lines of the node's components. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stablehand_dev.cluster.one_node.layout import Layout

_API = ("kube-apiserver",)


@dataclass(frozen=True)
class Programs:
    """Where the programs are.

    Attributes:
        kubernetes: the directory with a link for each Kubernetes component.
        etcd: the etcd binary.
        tree: the unpacked tree with containerd, runc and the CNI plugins.
        pause: the program that holds namespaces open.
    """

    kubernetes: Path
    etcd: Path
    tree: Path
    pause: Path

    @property
    def containerd(self) -> Path:
        """The directory of containerd, its shim and ctr."""
        return self.tree / "usr" / "bin"


@dataclass(frozen=True)
class Component:
    """One process of the node.

    Attributes:
        name: also its log's and pid file's.
        command: its command line.
        needs: names of those that have to answer before it starts; others it waits for by itself.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()


def components(layout: Layout, programs: Programs) -> list[Component]:
    """Return the node's components in the order in which they start; each finds those before it."""
    return [
        _etcd(layout, programs),
        _containerd(layout, programs),
        _apiserver(layout, programs),
        _controller_manager(layout, programs),
        _scheduler(layout, programs),
        _proxy(layout, programs),
        _kubelet(layout, programs),
    ]


def _etcd(layout: Layout, programs: Programs) -> Component:
    # The node has a network of its own: what listens on its loopback interface is out of everyone's reach.
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    flags = {
        "name": layout.name,
        "data-dir": layout.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{layout.name}={peer}",
        # The cluster does not outlive a crash of the machine, so nothing needs to reach the disk at once.
        "unsafe-no-fsync": "true",
    }
    return Component("etcd", (str(programs.etcd), *_flags(flags)))


def _containerd(layout: Layout, programs: Programs) -> Component:
    # It looks for its shim on the PATH.
    path = f"PATH={programs.containerd}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    configuration = layout.configuration / "containerd.toml"
    command = ("/usr/bin/env", path, str(programs.containerd / "containerd"), "--config", str(configuration))
    return Component("containerd", command)


def _apiserver(layout: Layout, programs: Programs) -> Component:
    certificates = layout.certificates
    flags = {
        "advertise-address": layout.node_address,
        "bind-address": "0.0.0.0",
        "secure-port": 6443,
        "etcd-servers": "http://127.0.0.1:2379",
        "service-cluster-ip-range": layout.services,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": certificates / "ca.crt",
        "tls-cert-file": certificates / "apiserver.crt",
        "tls-private-key-file": certificates / "apiserver.key",
        "kubelet-certificate-authority": certificates / "ca.crt",
        "kubelet-client-certificate": certificates / "apiserver-to-kubelet.crt",
        "kubelet-client-key": certificates / "apiserver-to-kubelet.key",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": certificates / "service-accounts.key",
        "service-account-signing-key-file": certificates / "service-accounts.key",
    }
    return Component("kube-apiserver", (str(programs.kubernetes / "kube-apiserver"), *_flags(flags)))


def _controller_manager(layout: Layout, programs: Programs) -> Component:
    flags = {
        "kubeconfig": layout.configuration / "controller-manager.kubeconfig",
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": layout.certificates / "service-accounts.key",
        "root-ca-file": layout.certificates / "ca.crt",
        "service-cluster-ip-range": layout.services,
        "allocate-node-cidrs": "false",
    }
    return Component(
        "kube-controller-manager", (str(programs.kubernetes / "kube-controller-manager"), *_flags(flags)), _API
    )


def _scheduler(layout: Layout, programs: Programs) -> Component:
    flags = {
        "kubeconfig": layout.configuration / "scheduler.kubeconfig",
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }
    return Component("kube-scheduler", (str(programs.kubernetes / "kube-scheduler"), *_flags(flags)), _API)


def _proxy(layout: Layout, programs: Programs) -> Component:
    flags = {"config": layout.configuration / "proxy.yaml"}
    return Component("kube-proxy", (str(programs.kubernetes / "kube-proxy"), *_flags(flags)), _API)


def _kubelet(layout: Layout, programs: Programs) -> Component:
    flags = {
        "config": layout.configuration / "kubelet.yaml",
        "kubeconfig": layout.configuration / "kubelet.kubeconfig",
        "root-dir": layout.state / "kubelet",
        "cert-dir": layout.state / "kubelet" / "pki",
        "hostname-override": layout.name,
        "node-ip": layout.node_address,
    }
    return Component("kubelet", (str(programs.kubernetes / "kubelet"), *_flags(flags)), ("containerd", *_API))


def _flags(flags: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())
