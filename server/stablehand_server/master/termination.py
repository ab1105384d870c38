"""Tell Kubernetes why the container ends: the content of this file becomes the container's termination message."""

from __future__ import annotations

import os
from pathlib import Path

_DEFAULT_PATH = "/dev/termination-log"
_LONGEST_MESSAGE_BYTES = 4096  # what the kubelet keeps


def write_termination_message(message: str) -> None:
    """Write the message to the container's termination log, if there is one."""
    path = Path(os.environ.get("STABLEHAND_TERMINATION_LOG", _DEFAULT_PATH))
    if str(path) == _DEFAULT_PATH and not path.exists():
        return  # not a container of Kubernetes
    try:
        path.write_bytes(message.encode(errors="replace")[:_LONGEST_MESSAGE_BYTES])
    except OSError:
        return  # the same message is in the log; a read-only file system is not another error
