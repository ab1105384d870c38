"""A real Kubernetes on this one machine: etcd, API server, controllers, scheduler, kubelet, proxy and containerd.

Needs Linux, root and Debian's packages; no container engine and no registry.
"""

from stablehand_dev.cluster.one_node.lifecycle import down, status, up

__all__ = ["down", "status", "up"]
