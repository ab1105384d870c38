"""Pure functions, one file for each manifest: from a WSGIApp to an object that should exist in the cluster.

A manifest holds only the fields that the operator owns. It is sent by server-side apply: whoever sets another field of
the same object (a person, an autoscaler, a sidecar injector) keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_operator.builders.config_map import build_config_map
from stablehand_operator.builders.deployment import build_deployment
from stablehand_operator.builders.metadata import Manifest
from stablehand_operator.builders.service import build_service
from stablehand_operator.builders.service_account import build_service_account

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp
    from stablehand_tuner.contracts.settings_file import SettingsFile

__all__ = [
    "Manifest",
    "build_children",
    "build_config_map",
    "build_deployment",
    "build_service",
    "build_service_account",
]


def build_children(app: WSGIApp, file: SettingsFile) -> list[Manifest]:
    """Return every child of an app, in the order in which they are needed."""
    account = [] if app.spec.service_account_name else [build_service_account(app)]
    return [*account, build_config_map(app, file), build_service(app), build_deployment(app)]
