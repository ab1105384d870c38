"""Where a one-node cluster keeps its things, and its addresses. Pure."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from stablehand_dev.paths import cache_dir, run_dir

# Set aside for benchmarks between network devices (RFC 2544): no real private network uses it.
_RANGE = IPv4Network("198.18.0.0/15")
_PODS_AND_LINKS, _SERVICES = _RANGE.subnets(new_prefix=16)


@dataclass(frozen=True)
class Layout:
    """One node's name, directories and networks.

    Attributes:
        name: of the node, the link to it and its cgroup; at most 15 characters (a limit of network interfaces).
        number: which share of the addresses it takes, 0 to 63; two clusters on one machine need different ones.
        run: directory of pid files, logs, sockets, certificates, kubeconfigs.
        state: directory of etcd's data, images and the pods' volumes; on a disk. Both are removed with the cluster.
    """

    name: str = "stablehand"
    number: int = 0
    run: Path = field(default_factory=lambda: run_dir() / "one-node")
    state: Path = field(default_factory=lambda: cache_dir() / "one-node")

    @property
    def pods(self) -> IPv4Network:
        """The pods' addresses."""
        return list(_PODS_AND_LINKS.subnets(new_prefix=24))[self.number * 4]

    @property
    def link(self) -> IPv4Network:
        """The two addresses of the link between the machine and the node."""
        return next(list(_PODS_AND_LINKS.subnets(new_prefix=24))[self.number * 4 + 1].subnets(new_prefix=30))

    @property
    def services(self) -> IPv4Network:
        """The Services' addresses."""
        return list(_SERVICES.subnets(new_prefix=24))[self.number * 4]

    @property
    def host_address(self) -> IPv4Address:
        """The machine's end of the link."""
        return self.link[1]

    @property
    def node_address(self) -> IPv4Address:
        """The node's end of the link: the API server, the kubelet and NodePorts are here."""
        return self.link[2]

    @property
    def api_service_address(self) -> IPv4Address:
        """The address of the Service `kubernetes`: always the first of the range."""
        return self.services[1]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.run / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.run / "logs"

    @property
    def pids(self) -> Path:
        """One pid file for each component."""
        return self.run / "pids"

    @property
    def certificates(self) -> Path:
        """Keys and certificates."""
        return self.run / "certificates"

    @property
    def configuration(self) -> Path:
        """The components' configuration files and kubeconfigs."""
        return self.run / "configuration"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.run / "containerd.sock"

    @property
    def cgroup(self) -> str:
        """The parent of all pods' cgroups, relative to each hierarchy's root."""
        return f"/{self.name}"
