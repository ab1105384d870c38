"""What a process of the server may do: as much as its user, which --user and --group name, and no more."""

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
    """Become the user and group of the workers, in gunicorn's own way.

    Raises:
        OSError: when this process may not.
    """
    set_owner_process(config.uid, config.gid, initgroups=config.initgroups)


def let_own_user_look() -> None:
    """Let other processes of this process's user read of /proc what they may read of each other.

    Whoever changes the user loses that: the kernel keeps even the user's own processes, such as the exporter, from the
    memory map of one that was the superuser's.
    """
    set_option = getattr(ctypes.CDLL(None), "prctl", None)
    if set_option is not None:  # Linux
        set_option(_PR_SET_DUMPABLE, 1, 0, 0, 0)
