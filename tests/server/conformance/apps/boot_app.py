"""An app whose import takes until there is a file named go."""

from __future__ import annotations

import os
import time
from pathlib import Path

while not Path("go").exists():
    time.sleep(0.05)

if os.environ["INTERFACE"] == "asgi":
    from asgi_app import app
else:
    from wsgi_app import app

__all__ = ["app"]
