"""The components' configuration files. Pure: each function returns what a file says; `write` puts all of them down."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from stablehand_dev.cluster.one_node.layout import Layout

PAUSE_IMAGE = "docker.io/stablehand/pause:1"


def kubeconfig(layout: Layout, client: str, user: str) -> dict[str, Any]:
    """Return the kubeconfig of a client whose certificate is CLIENT.crt."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": layout.name,
                "cluster": {
                    "server": f"https://{layout.node_address}:6443",
                    "certificate-authority-data": _base64(layout.certificates / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(layout.certificates / f"{client}.crt"),
                    "client-key-data": _base64(layout.certificates / f"{client}.key"),
                },
            }
        ],
        "contexts": [{"name": layout.name, "context": {"cluster": layout.name, "user": user}}],
        "current-context": layout.name,
    }


def kubelet(layout: Layout) -> dict[str, Any]:
    """Return the kubelet's configuration.

    It manages cgroups itself, below one of the cluster's own. There is no DNS server, and pods get a resolv.conf by
    which looking up a name fails at once instead of after a timeout.
    """
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(layout.node_address),
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.certificates / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(layout.certificates / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": layout.cgroup,
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.configuration / "resolv.conf"),
        "podLogsDir": str(layout.state / "pod-logs"),
        "volumePluginDir": str(layout.state / "volume-plugins"),
        "staticPodPath": "",
        # The defaults would throttle the kubelet's requests to the API server while many pods start at once.
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "registryPullQPS": 0,
        "shutdownGracePeriod": "0s",
    }


def proxy(layout: Layout) -> dict[str, Any]:
    """Return kube-proxy's configuration: iptables, and no change of the machine's connection tracking limits."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(layout.configuration / "proxy.kubeconfig")},
        "clusterCIDR": str(layout.pods),
        "hostnameOverride": layout.name,
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nodePortAddresses": ["primary"],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def container_network(layout: Layout) -> dict[str, Any]:
    """Return the CNI configuration: a routed pair of interfaces for each pod, no bridge.

    With a bridge, packets between two pods would pass the Service's address translation only where the kernel runs
    iptables for bridged traffic too (br_netfilter); routed ones always pass it.
    """
    return {
        "cniVersion": "1.0.0",
        "name": layout.name,
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(layout.pods)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(layout.state / "cni"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def containerd(layout: Layout, tree: Path) -> str:
    """Return containerd's configuration (TOML).

    Args:
        layout: the cluster's.
        tree: the root below which runc and the CNI plugins lie.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE a process may not make itself less likely to be killed, and
    every sandbox would fail because it tries.
    """

    def quoted(path: Path) -> str:
        return json.dumps(str(path))

    return f"""\
version = 2
root = {quoted(layout.state / "containerd")}
state = {quoted(layout.run / "containerd")}
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

[grpc]
  address = {quoted(layout.containerd_socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = {quoted(tree / "usr" / "sbin" / "runc")}
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {quoted(tree / "usr" / "lib" / "cni")}
  conf_dir = {quoted(layout.configuration / "cni")}
"""


def write(layout: Layout, tree: Path) -> None:
    """Write every configuration file; the certificates must be there already."""
    directory = layout.configuration
    (directory / "cni").mkdir(parents=True, exist_ok=True, mode=0o700)
    for client in ("controller-manager", "scheduler", "proxy", "kubelet"):
        _write(directory / f"{client}.kubeconfig", yaml.safe_dump(kubeconfig(layout, client, client)))
    _write(directory / "kubelet.yaml", yaml.safe_dump(kubelet(layout)))
    _write(directory / "proxy.yaml", yaml.safe_dump(proxy(layout)))
    _write(directory / "cni" / "10-pods.conflist", json.dumps(container_network(layout), indent=2))
    _write(directory / "containerd.toml", containerd(layout, tree))
    # Nothing listens there, in any pod: a name that /etc/hosts does not know is refused at once.
    _write(directory / "resolv.conf", "nameserver 127.0.0.1\n")
    _write(layout.kubeconfig, yaml.safe_dump(kubeconfig(layout, "admin", "stablehand-admin")))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
