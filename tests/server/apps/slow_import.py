"""An app that takes longer to import than anyone waits."""

import time

time.sleep(600)


def app(environ, start_response):
    """Never be called."""
    raise AssertionError
