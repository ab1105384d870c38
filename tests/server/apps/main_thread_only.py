"""An app that answers only in its process' main thread, or on an event loop: in other threads every request fails."""

import sys
import threading
import time


def _is_on_an_event_loop():
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("time")


def app(_environ, start_response):
    """Answer after 50 ms, and after 20 ms if it cannot: most failures are not instant."""
    if threading.current_thread() is not threading.main_thread() and not _is_on_an_event_loop():
        time.sleep(0.02)
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    time.sleep(0.05)
    start_response("200 OK", [("Content-Length", "0")])
    return []
