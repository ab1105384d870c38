"""A Kubernetes cluster for development: the one that the user names, kind, or one node of our own.

cluster = up()
cluster.kubectl("get", "pods")
"""

from stablehand_dev.cluster.lifecycle import current, down, running, up
from stablehand_dev.cluster.model import Cluster, Kind

__all__ = ["Cluster", "Kind", "current", "down", "running", "up"]
