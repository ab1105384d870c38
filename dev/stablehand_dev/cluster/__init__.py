"""A Kubernetes cluster for development: the one that the user names, kind, or one node of our own.

cluster = up()
cluster.kubectl("get", "pods")
"""

from stablehand_dev.cluster.for_tests import ClusterInUseError, cluster_for_tests
from stablehand_dev.cluster.lifecycle import current, down, running, up
from stablehand_dev.cluster.model import Cluster, Kind

__all__ = ["Cluster", "ClusterInUseError", "Kind", "cluster_for_tests", "current", "down", "running", "up"]
