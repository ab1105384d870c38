"""How gunicorn names a process, and makes it another user's.

Relied on: `set_process_title` puts "gunicorn: " before the title, and does nothing where setproctitle is not installed;
`set_owner_process` changes the group before the user, and leaves alone what is the process's own already.
"""

from __future__ import annotations

from gunicorn.util import _setproctitle as set_process_title
from gunicorn.util import set_owner_process

__all__ = ["set_owner_process", "set_process_title"]
