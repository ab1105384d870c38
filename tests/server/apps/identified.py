"""An app that says which request it serves."""

import time


def app(environ, start_response):
    """Answer with the request's id after 20 ms, or raise where the path says so."""
    time.sleep(0.02)
    identifier = environ["HTTP_X_REQUEST_ID"]
    if environ["PATH_INFO"] == "/raise":
        raise RuntimeError(f"raised for {identifier}")
    body = identifier.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
