"""The files that --autotune writes: each is replaced as a whole, so that no reader sees half of one."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.lifecycle.state import TunerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.trial import Trial

logger = logging.getLogger(__name__)


def replace(path: Path, text: str) -> None:
    """Write a temporary file and move it into place; does nothing if the file has this content already.

    Raises:
        OSError: when it cannot be written; then the old file stays.
    """
    if path.is_file() and path.read_text(errors="replace") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(temporary).chmod(0o644)  # mkstemp allows only the owner, but the server may run as another user
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def can_be_replaced(path: Path) -> bool:
    """Return whether this process may write the file: `replace` creates a new one in its folder."""
    try:
        folder = next(each for each in path.absolute().parents if each.exists())
    except PermissionError:  # the folder cannot even be examined
        return False
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def read_state(path: Path | None) -> TunerState:
    """Return the tuner's stored state; a corrupt file is logged, and the tuner starts afresh."""
    if path is None:
        return TunerState()
    try:
        fields = _object(path.read_text())
    except FileNotFoundError:
        return TunerState()
    except (OSError, ValueError) as error:
        logger.warning("The tuner starts afresh: its state in %s cannot be read: %s", path, error)
        return TunerState()
    state = TunerState.from_mapping(fields)
    if state.note:
        logger.warning("The tuner starts afresh: its state in %s is corrupt: %s", path, state.note)
    return state


def read_trial(path: Path) -> Trial | None:
    """Return what one worker should run by a settings file that another tuner may have written; None if nothing."""
    try:
        return SettingsFile.from_json(path.read_text()).trial
    except (OSError, ValueError):
        return None  # the server says what is wrong with the file


def _object(text: str) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON object is needed, not {type(fields).__name__}")  # noqa: TRY004 (a fault of the text)
    return fields


@dataclasses.dataclass(frozen=True)
class LastRun:
    """What ran when the state was written, for a start after the server was killed.

    Attributes:
        settings: what the server ran.
        memory_kills: the kernel's counts of processes that were killed for want of memory, by cgroup.
    """

    settings: Settings
    memory_kills: Mapping[str, int]

    def was_killed(self, memory_kills: Mapping[str, int]) -> bool:
        """Return whether the kernel has killed more processes since this was written."""
        return any(count > self.memory_kills.get(cgroup, count) for cgroup, count in memory_kills.items())


def read_last_run(path: Path | None) -> LastRun | None:
    """Return what ran when the state was written; None if that was not stored."""
    if path is None:
        return None
    try:
        fields = _object(path.read_text())["lastRun"]
        kills = {str(cgroup): int(count) for cgroup, count in fields["memoryKills"].items()}
        return LastRun(Settings.from_mapping(fields["settings"]), kills)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # what is wrong with the file is logged where the state is read


def write_state(path: Path | None, state: TunerState, run: LastRun | None = None) -> None:
    """Store the tuner's state and what runs, if there is a path.

    Raises:
        OSError: when it cannot be written.
    """
    if path is None:
        return
    fields = state.to_mapping()
    if run is not None:
        fields["lastRun"] = {"settings": run.settings.to_mapping(), "memoryKills": dict(run.memory_kills)}
    replace(path, json.dumps(fields) + "\n")
