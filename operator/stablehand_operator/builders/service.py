"""The Service: one address for the app's ready pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_operator.builders.metadata import Manifest, child_metadata
from stablehand_operator.names import HTTP_PORT_NAME, selector_labels

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp


def build_service(app: WSGIApp) -> Manifest:
    """Return the Service. There is none for metrics: each pod is scraped on its own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(app, app.name),
        "spec": {
            "selector": selector_labels(app.name),
            "ports": [{"name": HTTP_PORT_NAME, "port": app.spec.port, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"}],
        },
    }
