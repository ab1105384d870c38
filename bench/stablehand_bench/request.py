"""One request to a server of this machine, over a connection of its own."""

from __future__ import annotations

import contextlib
import http.client

_PATIENCE_SECONDS = 10.0


def get(port: int, path: str = "/", *, patience: float = _PATIENCE_SECONDS) -> bytes:
    """Return the body of the answer; `patience` is how many seconds each read may take.

    Raises:
        OSError: when there is no answer.
        HTTPException: when it is malformed, or has another status than 200.
    """
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=patience)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{path} was answered with {response.status}")
    return body
