"""What the metadata of every child has in common: namespace, labels, and its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from stablehand_operator.names import API_VERSION, KIND, child_labels

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp

Manifest: TypeAlias = "dict[str, Any]"
"""One Kubernetes object as JSON."""


def child_metadata(app: WSGIApp, name: str) -> dict[str, Any]:
    """Return a child's metadata; the owner reference makes Kubernetes delete the child with its app."""
    return {
        "name": name,
        "namespace": app.namespace,
        "labels": child_labels(app.name),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": app.name,
                "uid": app.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
