"""The watched settings files: which one applies now, and its content.

Content is compared, not times or events: Kubernetes swaps a symlink under a projected volume, editors rename, and a
file may disappear for a moment. A file is read once in each pass of the master's loop.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import InvalidSettings
from stablehand_tuner.contracts.settings_file import SettingsFile

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_FILE_BYTES = 64 * 1024  # four settings need a hundred; anything longer is not a settings file


@dataclasses.dataclass(frozen=True)
class Reading:
    """The content of a settings file: a text, or why it could not be read."""

    path: str
    text: str = ""
    fault: str = ""

    def wanted(self) -> SettingsFile:
        """Return what the file asks for.

        Raises:
            InvalidSettings: naming the fault.
        """
        if self.fault:
            raise InvalidSettings(self.fault)
        return SettingsFile.from_json(self.text)


class SettingsSource:
    """The files; the last one that exists and is not empty wins."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._last: Reading | None = None

    def poll(self) -> Reading | None:
        """Return the files' content if it has changed since the last call, else None.

        If there is no file, or only empty ones, nothing has changed: the settings read last stay.
        """
        reading = next((found for path in reversed(self.paths) if (found := _read(path)) is not None), None)
        if reading is None or reading == self._last:
            return None
        self._last = reading
        return reading

    def yields_to_earlier(self, before: Reading, after: Reading) -> bool:
        """Tell whether a later file was taken away: a server that had settings of its own has those of all again.

        It may have drawn the clients of all, if it kept their connections and the others did not.
        """
        if before.path not in self.paths or after.path not in self.paths:
            return False
        return self.paths.index(after.path) < self.paths.index(before.path)


def _read(path: str) -> Reading | None:
    try:
        content = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Reading(path, fault=f"cannot be read: {error.strerror}")
    if len(content) > _LONGEST_FILE_BYTES:
        return Reading(path, fault=f"longer than {_LONGEST_FILE_BYTES} bytes")
    if not content.strip():
        return None
    try:
        return Reading(path, text=content.decode())
    except UnicodeDecodeError as error:
        return Reading(path, fault=f"not UTF-8 text: {error.reason} at byte {error.start}")


def _content(path: str) -> bytes:
    """Return the file's content, or its beginning if it is too long."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(_LONGEST_FILE_BYTES + 1)


def _without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe waits for a writer, and the master must never wait.
    return os.open(path, flags | os.O_NONBLOCK)
