"""A private folder of this server, for the settings that --autotune writes: removed when the server ends.

A lock shows whether its server still runs: the kernel releases the lock of a killed process. So the next server finds
what was left behind, even if the processes cannot see each other, as in two containers that share a volume.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "stablehand-"
_LOCK = "lock"
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (mkdtemp makes it; the last is there in every pod)


class NoPlaceError(RuntimeError):
    """There is no place for such a folder; the text is a sentence that says what to do."""


def made(uid: int, gid: int) -> Path:
    """Create a folder for a user, which is removed when this process ends, and remove what ended servers have left.

    Raises:
        NoPlaceError: when no place for temporary files is writable.
    """
    for place in _places():
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        except OSError:
            continue
        _remove_abandoned(place, {uid, os.geteuid()})
        _hold(folder)
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.chown(folder, uid, gid)
        return folder
    raise NoPlaceError(
        f"--autotune needs a folder to write settings to, and can write to none of {', '.join(_places())}: "
        "give --settings-file a path in one that it can write to, or mount one there"
    )


def _places() -> list[str]:
    named = [os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)]
    return list(dict.fromkeys([*named, *_PLACES]))


def _hold(folder: Path) -> None:
    held = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    (folder / f"{_LOCK}.new").rename(folder / _LOCK)  # any process that sees it finds it locked
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # workers, too, run atexit handlers
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: str, users: set[int]) -> None:
    for folder in Path(place).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # owned by another user, or removed, or its server runs
            if folder.is_symlink() or folder.stat().st_uid not in users:
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
