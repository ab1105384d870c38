"""An app that ends its process by itself on SIGTERM, as programs do that were not made for a server."""

from __future__ import annotations

import os
import signal
import sys

if os.environ["INTERFACE"] == "asgi":
    from asgi_app import app
else:
    from wsgi_app import app

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

__all__ = ["app"]
