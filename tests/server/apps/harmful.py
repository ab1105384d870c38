"""An app that does harm under gevent alone, as a file says: how it boots, what it answers, or what it waits for."""

import os
import sys
import time
from pathlib import Path

_HARM = Path("harm")  # in the server's working directory
_SECONDS = float(os.environ.get("APP_SECONDS", "0.02"))


def _harm():
    monkey = sys.modules.get("gevent.monkey")
    green = monkey is not None and monkey.is_module_patched("time")
    return _HARM.read_text() if green and _HARM.exists() else ""


if _harm() == "boot":
    raise RuntimeError("this app does not import under gevent")


def app(_environ, start_response):
    """Answer after a short wait, unless it is to do harm."""
    match _harm():
        case "fail":
            time.sleep(_SECONDS)
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return []
        case "refuse":
            time.sleep(_SECONDS)
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        case "block":
            sys.modules["gevent.monkey"].get_original("time", "sleep")(0.6)
        case "hang":
            time.sleep(600)
    time.sleep(_SECONDS)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
