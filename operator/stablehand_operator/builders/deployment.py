"""The Deployment: the app's image under the bundled server.

The settings are not part of the pod template: they come as files that the server watches, so that a change of settings
is no rollout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_operator.builders.metadata import Manifest, child_metadata
from stablehand_operator.names import (
    CONTAINER,
    HTTP_PORT_NAME,
    METRICS_PORT,
    METRICS_PORT_NAME,
    POD_SETTINGS_FILE,
    SETTINGS_ANNOTATION,
    SETTINGS_DIRECTORY,
    SETTINGS_FILE,
    child_labels,
    selector_labels,
    settings_config_map_name,
)

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp, WSGIAppSpec

# Clients that keep their connections would stay with the pods that they met first: a new pod would get none.
_ENVIRONMENT = {"STABLEHAND_CONNECTION_LIFETIME": "15"}

# While the load balancers remove the pod from their lists it continues to serve: 5 s are enough for slow kube-proxies,
# and never more than a sixth of the pod's grace period, so that requests keep most of it.
_DRAIN_SECONDS = 5
_DRAIN_SHARE = 6
# Between the workers' deadline and the kubelet's SIGKILL: their exit (2 s), SIGABRT (1 s), and the master's own end.
_EXIT_SECONDS = 4

# How long an app may take to import before the pod is restarted.
_STARTUP_SECONDS = 300


def build_deployment(app: WSGIApp) -> Manifest:
    """Return the Deployment, without the fields that the operator leaves to others."""
    spec = app.spec
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(app, app.name),
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": selector_labels(app.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": {**(spec.pod_labels or {}), **child_labels(app.name)},
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(METRICS_PORT),
                        "prometheus.io/path": "/metrics",
                        **(spec.pod_annotations or {}),
                    },
                },
                "spec": _pod_spec(app),
            },
        },
    }


def _pod_spec(app: WSGIApp) -> dict[str, Any]:
    spec = app.spec
    pod: dict[str, Any] = {
        "serviceAccountName": spec.service_account_name or app.name,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **(spec.pod_security_context or {}),
        },
        "containers": [_container(spec)],
        "volumes": [_settings_volume(app.name), {"name": "tmp", "emptyDir": {}}, *_dumped(spec.volumes)],
    }
    optional = {
        "imagePullSecrets": _dumped(spec.image_pull_secrets),
        "nodeSelector": spec.node_selector,
        "tolerations": spec.tolerations,
        "affinity": spec.affinity,
    }
    return pod | {field: value for field, value in optional.items() if value}


def _container(spec: WSGIAppSpec) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "command": ["stablehand-server"],
        "args": _server_arguments(spec),
        "ports": [
            {"name": HTTP_PORT_NAME, "containerPort": spec.port, "protocol": "TCP"},
            {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # The exporter answers probes on a port and in a process of its own: busy workers never delay a probe.
        "startupProbe": _probe("/readyz", period=2, failures=_STARTUP_SECONDS // 2),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            **(spec.security_context or {}),
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "settings", "mountPath": SETTINGS_DIRECTORY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (the container's own, an emptyDir)
            *_dumped(spec.volume_mounts),
        ],
    }
    optional = {
        "imagePullPolicy": spec.image_pull_policy,
        "resources": spec.resources.to_json() if spec.resources else None,
        "env": _environment(spec),
        "envFrom": spec.env_from,
    }
    return container | {field: value for field, value in optional.items() if value}


def _environment(spec: WSGIAppSpec) -> list[dict[str, Any]]:
    """Return the user's variables, and ours that the user has not set; an older server ignores them."""
    users = _dumped(spec.env)
    named = {each["name"] for each in users}
    return [*({"name": name, "value": value} for name, value in _ENVIRONMENT.items() if name not in named), *users]


def _server_arguments(spec: WSGIAppSpec) -> list[str]:
    """Return the server's command line; the user's flags come last, so that they take precedence."""
    graceful = max(1, spec.termination_grace_period_seconds - _drain_seconds(spec) - _EXIT_SECONDS)
    return [
        spec.app,
        f"--bind=0.0.0.0:{spec.port}",
        f"--metrics-bind=0.0.0.0:{METRICS_PORT}",
        f"--settings-file={SETTINGS_DIRECTORY}/{SETTINGS_FILE}",
        f"--settings-file={SETTINGS_DIRECTORY}/{POD_SETTINGS_FILE}",
        # not a preStop hook: meanwhile the server makes every client reconnect, which a sleep would not
        f"--drain-seconds={_drain_seconds(spec)}",
        f"--graceful-timeout={graceful}",
        *(spec.args or []),
    ]


def _drain_seconds(spec: WSGIAppSpec) -> int:
    return max(1, min(_DRAIN_SECONDS, spec.termination_grace_period_seconds // _DRAIN_SHARE))


def _settings_volume(app_name: str) -> dict[str, Any]:
    """Return the one volume in which both settings files appear, so that the kubelet swaps them together."""
    annotation = f"metadata.annotations['{SETTINGS_ANNOTATION}']"
    return {
        "name": "settings",
        "projected": {
            "sources": [
                {
                    "configMap": {
                        "name": settings_config_map_name(app_name),
                        "items": [{"key": SETTINGS_FILE, "path": SETTINGS_FILE}],
                    }
                },
                {
                    "downwardAPI": {
                        "items": [
                            {"path": POD_SETTINGS_FILE, "fieldRef": {"apiVersion": "v1", "fieldPath": annotation}}
                        ]
                    }
                },
            ]
        },
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": METRICS_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _dumped(models: Any) -> list[Any]:
    return [each.to_json() for each in models or []]
