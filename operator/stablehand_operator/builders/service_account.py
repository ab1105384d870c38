"""The ServiceAccount: an identity without permissions, and without a token in the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_operator.builders.metadata import Manifest, child_metadata

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp


def build_service_account(app: WSGIApp) -> Manifest:
    """Return the ServiceAccount under which the app's pods run."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": child_metadata(app, app.name),
        "automountServiceAccountToken": False,
    }
