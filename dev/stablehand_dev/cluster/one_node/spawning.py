"""Starts a process that outlives this one."""

import os
from pathlib import Path


def spawn(command: list[str], log: Path) -> int:
    """Start a process in a session of its own, its output appended to a log; return its pid.

    Not subprocess.Popen: that wants to be waited for, and this process ends long before its components do.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
