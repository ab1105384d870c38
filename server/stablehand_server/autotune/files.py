"""The files that --autotune writes: each is replaced as a whole, so nobody ever reads half of one."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from stablehand_tuner.state import TunerState

logger = logging.getLogger(__name__)


def replace(path: Path, text: str) -> None:
    """Write a file beside its place and move it there; a text that stands there already is not written again.

    Raises:
        OSError: when it cannot be written; then what was there stays.
    """
    if path.is_file() and path.read_text(errors="replace") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(temporary).chmod(0o644)  # mkstemp's is for its owner alone, but the server may run as somebody else
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_state(path: Path | None) -> TunerState:
    """Return what the tuner knew when it ended; a damaged file is said, and then the tuner begins anew."""
    if path is None:
        return TunerState()
    try:
        fields = _object(path.read_text())
    except FileNotFoundError:
        return TunerState()
    except (OSError, ValueError) as error:
        logger.warning("The tuner begins anew: its state in %s cannot be read: %s", path, error)
        return TunerState()
    state = TunerState.from_mapping(fields)
    if state.note:
        logger.warning("The tuner begins anew: its state in %s is damaged: %s", path, state.note)
    return state


def _object(text: str) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON object is needed, not {type(fields).__name__}")  # noqa: TRY004 (a fault of the text)
    return fields


def write_state(path: Path | None, state: TunerState) -> None:
    """Keep what the tuner knows, if there is a file to keep it in.

    Raises:
        OSError: when it cannot be written.
    """
    if path is not None:
        replace(path, json.dumps(state.to_mapping()) + "\n")
