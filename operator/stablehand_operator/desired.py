"""What the operator remembers in an app's status: the settings that every pod should run, and the tuner's state.

The status holds the settings that are desired, and those of the spec when they were last taken from it. So the tuner's
settings survive every reconciliation and every restart of the operator, and a change of `spec.settings` is obeyed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from stablehand_operator.resource_status import SettingsByRole, SettingsStatus, WSGIAppStatus
from stablehand_tuner.contracts.settings import InvalidSettings, Settings
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.policy import Mode

if TYPE_CHECKING:
    from stablehand_operator.resource import WSGIApp


class Desired(NamedTuple):
    """The settings, and whether they were just taken from the spec, so that the tuner has to start over."""

    settings: Settings
    from_spec: bool


def desired_settings(app: WSGIApp, status: WSGIAppStatus) -> Desired:
    """Return what every pod should run.

    The spec's settings count at first, when somebody changes them, and always while `tuning.mode` is Off. Otherwise
    what is desired stays, also when somebody removes `spec.settings`.
    """
    asked = app.spec.settings
    initial = app.spec.initial_settings()
    current = read(status.settings.desired)
    if current is None:
        return Desired(initial, from_spec=True)
    if asked is None:
        return Desired(current, from_spec=False)
    changed = read(status.settings.initial) != initial
    switched_off = app.spec.tuning.mode == Mode.OFF.value and current != initial
    return Desired(initial, from_spec=True) if changed or switched_off else Desired(current, from_spec=False)


def settings_file(state: TunerState, desired: Settings) -> SettingsFile:
    """Return what the settings file of every pod should have in it.

    While the pods guard a step of a climb by themselves, that is the best step before it, and the step as a trial: so
    they go back also when no operator is there.
    """
    file = state.file_of_all
    return SettingsFile(desired) if file is None or state.desired != desired else file


def stored_state(status: WSGIAppStatus) -> TunerState:
    """Return the tuner's state from the status; if it is corrupt, a fresh one that reports that at its next step."""
    if not status.tuner:
        return TunerState()
    try:
        fields = json.loads(status.tuner)
    except ValueError as error:
        return TunerState(note=f"the stored state is not JSON: {error}")
    return TunerState.from_mapping(fields)


def with_state(status: WSGIAppStatus, state: TunerState) -> WSGIAppStatus:
    """Return the status with the tuner's state in it."""
    return status.model_copy(update={"tuner": json.dumps(state.to_mapping(), separators=(",", ":"))})


def noted(app: WSGIApp, status: WSGIAppStatus, desired: Settings) -> SettingsByRole:
    """Return the status' settings with the desired ones in them, and with what the spec asks for."""
    initial = None if app.spec.settings is None else written(app.spec.initial_settings())
    return status.settings.model_copy(update={"desired": written(desired), "initial": initial})


def read(settings: SettingsStatus | None) -> Settings | None:
    """Return settings from the status; None when there are none, or when they are invalid."""
    if settings is None:
        return None
    try:
        return Settings.from_mapping(settings.to_json())
    except InvalidSettings:
        return None


def written(settings: Settings) -> SettingsStatus:
    """Return settings as the status has them."""
    return SettingsStatus.model_validate(settings.to_mapping())
