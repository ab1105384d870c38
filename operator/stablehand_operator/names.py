"""The names that the operator's objects carry: group, labels, annotations, ports, and the children's own names."""

from __future__ import annotations

from stablehand_tuner.contracts.metric_names import DEFAULT_METRICS_PORT

GROUP = "stablehand.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "WSGIApp"
PLURAL = "wsgiapps"
SINGULAR = "wsgiapp"
SHORT_NAMES = ("wsgi",)

FIELD_MANAGER = GROUP

SETTINGS_ANNOTATION = f"{GROUP}/settings"
"""On one pod: settings for that pod alone, instead of those of the ConfigMap; the operator sets it on the canary."""

FREEZE_ANNOTATION = f"{GROUP}/freeze"
"""On a WSGIApp: freezes the tuner, unless the value is `false`."""

NUDGE_ANNOTATION = f"{GROUP}/nudge"
"""On a pod: changes with the app's settings, so that the kubelet syncs the pod's volumes at once."""

NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "stablehand"

CHILDREN_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Selects the children of every app, and their pods."""

CONTAINER = "app"
HTTP_PORT_NAME = "http"
METRICS_PORT_NAME = "metrics"
METRICS_PORT = DEFAULT_METRICS_PORT

SETTINGS_DIRECTORY = "/etc/stablehand"
SETTINGS_FILE = "settings.json"
POD_SETTINGS_FILE = "pod-settings.json"


def selector_labels(app_name: str) -> dict[str, str]:
    """Return the labels that select an app's pods; a Deployment's selector cannot change, so these must not."""
    return {NAME_LABEL: SINGULAR, INSTANCE_LABEL: app_name}


def child_labels(app_name: str) -> dict[str, str]:
    """Return the labels that every child of an app carries."""
    return {**selector_labels(app_name), MANAGED_BY_LABEL: MANAGED_BY}


def settings_config_map_name(app_name: str) -> str:
    """Return the name of the ConfigMap that holds an app's settings."""
    return f"{app_name}-settings"
