"""The ConfigMap with the settings that every pod of the app runs, also those that start later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_operator.builders.metadata import Manifest, child_metadata
from stablehand_operator.names import SETTINGS_FILE, settings_config_map_name

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp
    from stablehand_tuner.contracts.settings_file import SettingsFile


def build_config_map(app: WSGIApp, file: SettingsFile) -> Manifest:
    """Return the ConfigMap that appears in the pods as the settings file."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(app, settings_config_map_name(app.name)),
        "data": {SETTINGS_FILE: file.to_json() + "\n"},
    }
