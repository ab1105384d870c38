"""Drops a process's privileges to those of the user and group that --user and --group name."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from stablehand_server.gunicorn_internals.process import set_owner_process

if TYPE_CHECKING:
    from stablehand_server.gunicorn_internals.settings import Config

_PR_SET_DUMPABLE = 4  # include/uapi/linux/prctl.h


def drops(config: Config) -> bool:
    """Return whether the workers run as another user or group than this process."""
    return (config.uid, config.gid) != (os.geteuid(), os.getegid())


def drop(config: Config) -> None:
    """Switch to the user and group of the workers, as gunicorn does.

    Raises:
        OSError: when this process is not allowed to.
    """
    set_owner_process(config.uid, config.gid, initgroups=config.initgroups)


def let_own_user_look() -> None:
    """Let other processes of this process's user read in /proc what they may read about each other.

    A process that changes its user loses that: the kernel denies even that user's own processes, such as the exporter,
    the memory map of a process that was root's.
    """
    set_option = getattr(ctypes.CDLL(None), "prctl", None)
    if set_option is not None:  # Linux
        set_option(_PR_SET_DUMPABLE, 1, 0, 0, 0)
