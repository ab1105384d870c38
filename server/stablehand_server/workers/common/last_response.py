"""Make a connection's next response its last, from within gunicorn's WSGI workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gunicorn.http.wsgi import Response

if TYPE_CHECKING:
    from collections.abc import Callable


def closing(app: Callable[..., Any], at_most: float = math.inf) -> Callable[..., Any]:
    """Return the app with `Connection: close` on each of its responses, or on the next ones.

    The app itself cannot say so (PEP 3333 reserves the header to the server), but the start_response that it gets is a
    method of gunicorn's response, which can. A promise that was made to a client before is kept: its connection stays
    open until its next request has been answered.
    """
    left = at_most  # two threads that count at once close one more, which harms nobody

    def closing_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        nonlocal left
        response = getattr(start_response, "__self__", None)
        if left > 0 and isinstance(response, Response):
            left -= 1
            response.force_close()
        return app(environ, start_response)

    return closing_app
