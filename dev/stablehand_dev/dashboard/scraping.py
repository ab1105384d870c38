"""How Prometheus finds the pods of all apps and labels their metrics as the dashboard expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_tuner.contracts.metric_names import DEFAULT_METRICS_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_POD = "__meta_kubernetes_pod"


class Target(NamedTuple):
    """One pod's metrics endpoint, for a Prometheus that does not ask the API server."""

    address: str
    namespace: str
    pod: str
    app: str


def scrape_config(kubeconfig: Path | None = None, interval: str = "5s") -> dict[str, Any]:
    """Return a Prometheus configuration that scrapes the pods of every WSGIApp.

    With a kubeconfig, Prometheus asks that cluster's API server; without, it is in the cluster itself. It needs the
    right to list and watch pods.
    """
    discovery: dict[str, Any] = {
        "role": "pod",
        "selectors": [
            {"role": "pod", "label": "app.kubernetes.io/name=wsgiapp,app.kubernetes.io/managed-by=stablehand"}
        ],
    }
    if kubeconfig is not None:
        discovery["kubeconfig_file"] = str(kubeconfig)
    relabeling = [
        {"source_labels": [f"{_POD}_container_port_name"], "action": "keep", "regex": "metrics"},
        {"source_labels": [f"{_POD}_phase"], "action": "keep", "regex": "Running"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{_POD}_name"], "target_label": "pod"},
        {"source_labels": [f"{_POD}_label_app_kubernetes_io_instance"], "target_label": "app"},
    ]
    return _configuration(interval, {"kubernetes_sd_configs": [discovery], "relabel_configs": relabeling})


def static_scrape_config(targets: Iterable[Target], interval: str = "5s") -> dict[str, Any]:
    """Return a Prometheus configuration for a fixed list of pods."""
    groups = [
        {"targets": [target.address], "labels": {"namespace": target.namespace, "pod": target.pod, "app": target.app}}
        for target in targets
    ]
    return _configuration(interval, {"static_configs": groups})


def pod_target(pod_ip: str, namespace: str, pod: str, app: str) -> Target:
    """Return the target of a pod by its address."""
    return Target(f"{pod_ip}:{DEFAULT_METRICS_PORT}", namespace, pod, app)


def _configuration(interval: str, job: dict[str, Any]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": [{"job_name": "wsgiapps", **job}],
    }
