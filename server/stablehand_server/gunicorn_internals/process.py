"""How gunicorn sets a process's title, user and group.

Relied on: `set_process_title` puts "gunicorn: " before the title, and does nothing where setproctitle is not installed;
`set_owner_process` changes the group before the user, and changes neither if the process already has it.
"""

from __future__ import annotations

from gunicorn.util import _setproctitle as set_process_title
from gunicorn.util import set_owner_process

__all__ = ["set_owner_process", "set_process_title"]
