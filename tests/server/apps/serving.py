"""The app of the integration tests: waits as long as the query says, and fails to boot as a file says."""

import os
import signal
import sys
import time
from pathlib import Path

_FAULT = Path("boot-fault")  # in the server's working directory

if _FAULT.exists():
    match _FAULT.read_text():
        case "hang":
            Path("boot-hangs").touch()
            time.sleep(600)
        case "cling":
            try:
                time.sleep(600)
            except SystemExit:
                Path("boot-clings").touch()
        case "slow":
            time.sleep(1)
        case "exit":
            sys.exit(7)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case text:
            raise RuntimeError(text)


def app(environ, start_response):
    """Wait for the query's seconds, 20 ms by default, and say which process answers."""
    time.sleep(float(environ["QUERY_STRING"] or 0.02))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
